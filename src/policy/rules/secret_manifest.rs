//! Rule `secret-manifest`: the manifest of a Secret with a value in it. base64 is not encryption.

use super::sight::{SECRET_ENTRY, Sight, Sink};
use super::text::{contains_fold, trim};
use super::value::{self, Verdict};
use super::{Example, Place, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "secret-manifest",
    summary: "a value in the manifest of a Secret, in a file",
    reason: "the manifest of a Secret holds a value, and whoever reads the file has it",
    certainty: Certainty::Certain,
    examples: &[
        Example::named(Place::Secret, "license.txt", "three words here"),
        Example::named(Place::Secret, "account", "shop-frontend"),
    ],
    counter_examples: &[
        Example::named(Place::Secret, "password", ""),
        Example::named(Place::Secret, "password", "${DB_PASSWORD}"),
        Example::named(Place::Secret, "password", "<password>"),
        Example::named(Place::Secret, "password", "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]"),
        Example::named(
            Place::Secret,
            "ca.crt",
            "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQzq8mT3vLx0RbNc5WdKy7HsPf2Gj\n-----END CERTIFICATE-----",
        ),
    ],
    inside: false,
    needs: &[SECRET_ENTRY],
    check,
};

/// Any literal counts, whatever its key is called: what belongs into a Secret is not for a file. Certificates are public.
fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let text = trim(sight.text);
    let head = &text[..text.len().min(64)];
    let public = [&b"begin certificate"[..], b"begin public key", b"begin x509"];
    if sight.place != Place::Secret || public.iter().any(|label| contains_fold(head, label)) {
        return;
    }
    match value::judge(text, None) {
        Verdict::Cleared => {}
        verdict => {
            sink.strike(0..sight.text.len(), verdict == Verdict::Stock, "a value in a Secret's manifest")
        }
    }
}
