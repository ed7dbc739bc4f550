//! `refgate iam`: prints the least that AWS must allow, for the sync that reads a scope or for the operator who writes it.

use std::io::{self, Write as _};

use anyhow::bail;
use serde::Serialize;
use serde_json::{Value, json};

use super::{CLEAN, Screen};
use crate::policy::path::Scope;

/// What stands where a flag is missing. AWS refuses it, so nobody grants by mistake more than was meant.
const ACCOUNT: &str = "ACCOUNT";
const REGION: &str = "REGION";
/// Longest name of a region or a partition that is taken for one.
const MOST_CHARACTERS: usize = 32;

/// Whose policy, and for what.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is read or written.
    pub scope: Scope,
    /// Further prefixes that its namespaces may read.
    pub shared: Vec<Scope>,
    /// The account of the secrets.
    pub account: Option<String>,
    /// Their region.
    pub region: Option<String>,
    /// The partition of AWS.
    pub partition: String,
    /// ARN of the customer's key that they are encrypted with.
    pub kms_key: Option<String>,
    /// For the operator who writes secrets, not for the sync.
    pub writer: bool,
}

/// Prints the JSON to standard output, and says the exit code.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let text = serde_json::to_string_pretty(&policy(options)?)?;
    Screen::new().print(&format!("{text}\n"))?;
    let missing = [(&options.account, "--account", ACCOUNT), (&options.region, "--region", REGION)];
    for (_, flag, word) in missing.iter().filter(|(value, _, _)| value.is_none()) {
        // A note to a person; nothing is wrong when nobody is there to read it.
        let _ = writeln!(io::stderr(), "refgate: put yours where {word} stands, or name it with {flag}");
    }
    Ok(CLEAN)
}

/// A policy document, in the order in which people write one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: Vec<String>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

fn policy(options: &Options) -> anyhow::Result<Policy> {
    check(options)?;
    let region = options.region.as_deref().unwrap_or(REGION);
    let account = options.account.as_deref().unwrap_or(ACCOUNT);
    // The slash before the star keeps `stage` from reaching `stage-eu`.
    let arn = |scope: &Scope| {
        format!("arn:{}:secretsmanager:{region}:{account}:secret:{scope}/*", options.partition)
    };
    let (mut statement, mut secrets) = (Vec::new(), vec![arn(&options.scope)]);
    if options.writer {
        let actions = ["CreateSecret", "DescribeSecret", "PutSecretValue", "TagResource"];
        statement.push(allow("WriteSecrets", "secretsmanager", &actions, secrets.clone()));
    } else {
        // AWS knows no narrower resource for these two. The second gives no value away without the statement below.
        let actions = ["BatchGetSecretValue", "ListSecrets"];
        statement.push(allow("FindSecrets", "secretsmanager", &actions, vec!["*".to_owned()]));
        secrets.extend(options.shared.iter().map(arn));
        statement.push(allow("ReadSecrets", "secretsmanager", &["GetSecretValue"], secrets.clone()));
    }
    if let Some(key) = &options.kms_key {
        let actions: &[&str] = if options.writer { &["Decrypt", "GenerateDataKey"] } else { &["Decrypt"] };
        let condition = json!({"StringLike": {
            "kms:ViaService": format!("secretsmanager.{region}.amazonaws.com"),
            "kms:EncryptionContext:SecretARN": secrets,
        }});
        let allowed = allow("UseTheirKey", "kms", actions, vec![key.clone()]);
        statement.push(Statement { condition: Some(condition), ..allowed });
    }
    Ok(Policy { version: "2012-10-17", statement })
}

fn allow(sid: &'static str, service: &str, actions: &[&str], resource: Vec<String>) -> Statement {
    let action = actions.iter().map(|action| format!("{service}:{action}")).collect();
    Statement { sid, effect: "Allow", action, resource, condition: None }
}

/// What goes into an ARN is what it should be, and holds no wildcard and no colon.
fn check(options: &Options) -> anyhow::Result<()> {
    let Options { account, region, partition, kms_key, .. } = options;
    if let Some(account) = account.as_ref().filter(|account| !is_account(account)) {
        bail!("{account:?} is no AWS account: it has twelve digits");
    }
    if let Some(region) = region.as_ref().filter(|region| !is_word(region) || !region.contains('-')) {
        bail!("{region:?} is no AWS region such as us-west-2");
    }
    if !is_word(partition) || !partition.starts_with("aws") {
        bail!("{partition:?} is no partition of AWS: aws, aws-cn, aws-us-gov");
    }
    if let Some(key) = kms_key.as_ref().filter(|key| !is_key(key, partition)) {
        bail!(
            "{key:?} is no ARN of a key: it looks like arn:{partition}:kms:REGION:ACCOUNT:key/ID; an alias is none"
        );
    }
    if options.writer && !options.shared.is_empty() {
        bail!("--shared is for the sync, which reads it; a writer writes one scope");
    }
    Ok(())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    let inside = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=MOST_CHARACTERS).contains(&text.len()) && text.bytes().all(inside)
}

fn is_key(text: &str, partition: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let ["arn", of, "kms", region, account, key] = parts[..] else { return false };
    let is_id =
        |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    of == partition && is_word(region) && is_account(account) && key.strip_prefix("key/").is_some_and(is_id)
}
