//! ARNs of AWS Secrets Manager, taken apart: account, region, and a path whose end can be read two ways.

use super::{Foreign, Target, is_word};
use crate::policy::message;
use crate::policy::path::SecretPath;
use crate::policy::snapshot::{Binding, Settings};

/// The parts of an ARN: `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:REST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    pub(super) rest: &'a str,
}

/// `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX`, `arn:aws:ssm:REGION:ACCOUNT:parameter/NAME`.
pub(super) fn aws(text: &str) -> Option<Foreign<'_>> {
    let mut parts = text.strip_prefix("arn:")?.splitn(6, ':');
    let (partition, service, region, account) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (kind, rest) = (parts.next()?, parts.next());
    if !partition.starts_with("aws") || !is_word(text) {
        return None;
    }
    match (service, kind, rest) {
        ("secretsmanager", "secret", Some(rest)) if !rest.is_empty() => {
            let arn = Arn { partition, region, account, rest };
            Some(Foreign { system: "AWS Secrets Manager", target: Target::Arn(arn) })
        }
        ("ssm", parameter, None)
            if parameter.strip_prefix("parameter/").is_some_and(|name| !name.is_empty()) =>
        {
            Some(Foreign { system: "AWS Parameter Store", target: Target::Opaque })
        }
        _ => None,
    }
}

impl<'a> Arn<'a> {
    /// The name without the hyphen and six random characters that end a full ARN.
    pub(super) fn cut(&self) -> Option<&'a str> {
        let (name, suffix) = self.rest.rsplit_once('-')?;
        (suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
    }

    /// An ARN ends in a hyphen and six random characters, which a partial ARN leaves out: `…/my-secret` can be read both
    /// ways, so both readings have to lie inside (AWS Secrets Manager user guide, troubleshooting of partial ARNs).
    pub(super) fn judge(&self, binding: &Binding, settings: &Settings) -> Result<(), String> {
        if !settings.aws_accounts.iter().any(|account| account == self.account) {
            return Err("this ARN is of an AWS account that aws.accounts of the configuration does not list"
                .to_owned());
        }
        if !settings.aws_regions.iter().any(|region| region == self.region)
            || self.partition != partition_of(self.region)
        {
            return Err(
                "this ARN is of a region or partition that aws.regions of the configuration does not list"
                    .to_owned(),
            );
        }
        let whole =
            SecretPath::absolute(self.rest).map_err(|error| format!("this ARN names no path: {error}"))?;
        let cut = self.cut();
        let readings = [Some(whole.as_str()), cut];
        if readings
            .into_iter()
            .flatten()
            .all(|path| SecretPath::absolute(path).is_ok() && binding.contains(path))
        {
            Ok(())
        } else {
            Err(message::outside(whole.as_str(), binding))
        }
    }
}

/// An ARN of AWS Secrets Manager, as an object of another system names it: the path that it means, or the path where it can
/// be shown and why the namespace may not have it.
pub fn arn(text: &str, binding: &Binding, settings: &Settings) -> Result<String, (Option<String>, String)> {
    match aws(text).map(|foreign| foreign.target) {
        Some(Target::Arn(arn)) => {
            let path = SecretPath::absolute(arn.cut().unwrap_or(arn.rest)).ok();
            let path = path.map(|path| path.as_str().to_owned());
            match (arn.judge(binding, settings), path) {
                (Ok(()), Some(path)) => Ok(path),
                (Ok(()), None) => Err((None, "this ARN names no path".to_owned())),
                (Err(why), path) => Err((path, why)),
            }
        }
        _ => Err((None, "this is no ARN of a secret in AWS Secrets Manager".to_owned())),
    }
}

/// The partition that a region lies in (AWS general reference, ARNs).
fn partition_of(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
