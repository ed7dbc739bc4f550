//! SecretStore and ClusterSecretStore of External Secrets Operator, and its generators.
//!
//! Source: external-secrets/external-secrets `apis/externalsecrets/v1/secretstore_*_types.go`, `apis/generators/v1alpha1`.

use super::Foreign;
use super::json::Json;
use super::place::{Place, System, not_judged};
use super::reach::{Identity, Pointer, Reach};
use crate::policy::workload::json::escape;

/// Generators that make something up and read nothing.
const MADE_UP: [&str; 3] = ["Password", "UUID", "SSHKey"];

/// A SecretStore: tenants make it, so whose secrets it reaches is judged.
pub fn secret_store(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["conditions", "controller", "provider", "refreshInterval", "retrySettings"]);
    reach.known("/spec/retrySettings", spec.get("retrySettings"), &["maxRetries", "retryInterval"]);
    let place = provider(&mut reach, spec.get("provider"));
    // What it logs in with may be a Secret that an earlier binding left, and where it logs in, the tenant says.
    names(&mut reach, "/spec/provider", spec.get("provider"));
    // That there is not one of them is said already.
    if place.system.is_none() && !place.provider.is_empty() {
        reach.fault("/spec/provider", not_judged(&place.provider));
    }
    reach.place = Some(place);
    reach
}

/// A ClusterSecretStore: operators make it. What reads through it is judged where it is read.
pub fn cluster_secret_store(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    let spec = object.json.get("spec");
    let mut ignored = Reach::default();
    reach.place = Some(provider(&mut ignored, spec.get("provider")));
    conditions(&mut reach, spec.get("conditions"));
    reach
}

/// Who may use a ClusterSecretStore. RefGate judges paths wherever it is used, so these are notes.
fn conditions(reach: &mut Reach, conditions: &Json<'_>) {
    if conditions.items().is_empty() {
        let note = "without conditions every namespace may use this store, those that RefGate does not fence among them";
        reach.notes.push((Pointer::to("/spec/conditions"), note.to_owned()));
    }
    for (index, condition) in conditions.items().iter().enumerate() {
        for (inner, regex) in condition.get("namespaceRegexes").items().iter().enumerate() {
            let is_anchored = regex.text().is_some_and(|text| text.starts_with('^') && text.ends_with('$'));
            if !is_anchored {
                let at = format!("/spec/conditions/{index}/namespaceRegexes/{inner}");
                let note = "this expression is not anchored, so it also fits a part of a name; write it between ^ and $";
                reach.notes.push((Pointer::to(at), note.to_owned()));
            }
        }
    }
}

/// The one provider of a store.
fn provider(reach: &mut Reach, provider: &Json<'_>) -> Place {
    let mut given = provider.fields().iter().filter(|(_, value)| !value.is_null());
    let (Some((name, settings)), None) = (given.next(), given.next()) else {
        reach.fault("/spec/provider", "one provider belongs here, and no more");
        return Place::unknown("");
    };
    let text = |key: &str| settings.get(key).text().unwrap_or_default();
    let known = |reach: &mut Reach, fields: &[&str]| {
        reach.known(format_args!("/spec/provider/{name}"), settings, fields)
    };
    match &**name {
        "aws" => aws(reach, settings),
        "vault" | "openBao" => vault(reach, name, settings),
        "gcpsm" => {
            known(reach, &["auth", "location", "projectID", "secretVersionSelectionPolicy"]);
            // `secretmanager.LOCATION.rep.googleapis.com` is what the operator asks, with its own token.
            if !text("location").is_empty() && !is_location(text("location")) {
                reach.fault(
                    "/spec/provider/gcpsm/location",
                    "this is no location of Google; write one such as us-east1",
                );
            }
            Place::new(System::Google, text("projectID"))
        }
        "azurekv" => {
            known(reach, &AZURE);
            match vault_of(text("vaultUrl")) {
                Some(vault) => Place::new(System::Azure, &vault),
                None => Place::unknown("azurekv, whose vaultUrl is not https://NAME.vault.azure.net,"),
            }
        }
        "doppler" => {
            known(reach, &["auth", "config", "format", "nameTransformer", "project"]);
            Place::new(System::Doppler, &format!("{}/{}", text("project"), text("config")))
        }
        other => Place::unknown(other),
    }
}

const AZURE: [&str; 8] = [
    "authSecretRef",
    "authType",
    "environmentType",
    "identityId",
    "serviceAccountRef",
    "tenantId",
    "useAzureSDK",
    "vaultUrl",
];
const VAULT: [&str; 12] = [
    "auth",
    "caBundle",
    "caProvider",
    "checkAndSet",
    "forwardInconsistent",
    "headers",
    "namespace",
    "path",
    "readYourWrites",
    "server",
    "tls",
    "version",
];

/// Vault and OpenBao. `client_get.go` cuts the path of the store off a key as it is written, slashes and all.
fn vault(reach: &mut Reach, provider: &str, settings: &Json<'_>) -> Place {
    let at = |field: &str| format!("/spec/provider/{provider}/{field}");
    let text = |key: &str| settings.get(key).text().unwrap_or_default();
    reach.known(format_args!("/spec/provider/{provider}"), settings, &VAULT);
    if !settings.get("headers").is_null() {
        reach.doubt(&at("headers"), "a header can lead to another namespace of Vault; leave it out");
    }
    let mount = reach.text(|| Pointer::to(at("path")), settings.get("path"));
    if mount.is_some_and(|mount| mount.is_empty() || mount.starts_with('/') || mount.ends_with('/')) {
        reach.fault(&at("path"), "write the mount without a slash at its ends, or leave it out");
    }
    login(reach, &at("auth"), settings.get("auth"));
    Place {
        tree: text("namespace").trim_matches('/').into(),
        is_kv2: text("version") != "v1",
        ..Place::new(System::Vault, mount.unwrap_or_default().trim_matches('/'))
    }
}

/// Every way to log in at Vault.
const LOGINS: [&str; 10] =
    ["appRole", "cert", "gcp", "iam", "jwt", "kubernetes", "ldap", "namespace", "tokenSecretRef", "userPass"];

/// Who logs in at Vault, and with what: whichever server stands in the store gets it.
fn login(reach: &mut Reach, at: &str, auth: &Json<'_>) {
    reach.known(at, auth, &LOGINS);
    let named = |login: &Json<'_>, fields: &[&str]| {
        let inner = fields.iter().fold(login, |inner, field| inner.get(field));
        inner.get("name").text().is_some_and(|name| !name.is_empty())
    };
    // `auth_kubernetes.go`, `auth_iam.go`: without one of these the operator shows what it is itself.
    let ways: [(&str, &[&[&str]], &str); 2] = [
        ("kubernetes", &[&["serviceAccountRef"], &["secretRef"]], "serviceAccountRef or secretRef"),
        (
            "iam",
            &[&["jwt", "serviceAccountRef"], &["secretRef", "accessKeyIDSecretRef"]],
            "jwt.serviceAccountRef or secretRef.accessKeyIDSecretRef",
        ),
    ];
    for (method, own, words) in ways {
        let login = auth.get(method);
        if !login.is_null() && !own.iter().any(|fields| named(login, fields)) {
            let why = format!(
                "without {words} the operator's own identity logs in here, and any server that stands in this store could take \
                 it; name a service account of this namespace, or use a ClusterSecretStore"
            );
            reach.fault(&format!("{at}/{method}"), why);
        }
    }
    let google = auth.get("gcp");
    if !google.is_null() {
        // `auth_gcp.go`: a service account that is named here is not looked at, and the two others leave their mark in the
        // environment of the operator, whose default credentials sign.
        let at = format!("{at}/gcp");
        let why = "with this the operator's own account of Google logs in, and any server that stands in this store could take \
                   what it shows; log in by kubernetes with a service account of this namespace, or use a ClusterSecretStore";
        match ["secretRef", "workloadIdentity"].iter().any(|field| !google.get(field).fields().is_empty()) {
            true => reach.doubt(&at, why),
            false => reach.fault(&at, why),
        }
    }
}

/// Secrets of the namespace that a provider names, wherever it does: to log in, for a certificate.
fn names(reach: &mut Reach, at: &str, value: &Json<'_>) {
    for (index, inner) in value.items().iter().enumerate() {
        names(reach, &format!("{at}/{index}"), inner);
    }
    for (key, inner) in value.fields() {
        let at = format!("{at}/{}", escape(key));
        // The name of a service account is none.
        if key != "serviceAccountRef" {
            if let Some(name) = inner.get("name").text() {
                reach.secrets.push((Pointer::to(format!("{at}/name")), name.into()));
            }
            names(reach, &at, inner);
        }
    }
}

fn aws(reach: &mut Reach, settings: &Json<'_>) -> Place {
    let known = [
        "additionalRoles",
        "auth",
        "customSessionTags",
        "externalID",
        "prefix",
        "region",
        "role",
        "secretsManager",
        "service",
        "sessionTags",
        "sessionTagsPolicy",
        "transitiveTagKeys",
    ];
    reach.known("/spec/provider/aws", settings, &known);
    let prefix = reach.text(|| Pointer::to("/spec/provider/aws/prefix"), settings.get("prefix"));
    let region = reach.text(|| Pointer::to("/spec/provider/aws/region"), settings.get("region"));
    let system = match settings.get("service").text() {
        Some("SecretsManager") => System::AwsSecretsManager,
        Some("ParameterStore") => System::AwsParameterStore,
        _ => return Place::unknown("aws, whose service is neither SecretsManager nor ParameterStore,"),
    };
    for (key, identity) in [("region", Identity::Region), ("role", Identity::Role)] {
        if let Some(text) = settings.get(key).text().filter(|text| !text.is_empty()) {
            let at = Pointer::to(format!("/spec/provider/aws/{key}"));
            reach.identities.push((at, identity, text.into()));
        }
    }
    for (index, role) in settings.get("additionalRoles").items().iter().enumerate() {
        if let Some(text) = role.text() {
            let at = Pointer::to(format!("/spec/provider/aws/additionalRoles/{index}"));
            reach.identities.push((at, Identity::Role, text.into()));
        }
    }
    for key in ["sessionTags", "customSessionTags"] {
        if !settings.get(key).is_null() {
            let at = format!("/spec/provider/aws/{key}");
            reach.doubt(&at, "policies of AWS may go by session tags, and here who makes the store writes them; leave it out");
        }
    }
    let name = if system == System::AwsParameterStore { region.unwrap_or_default() } else { "" };
    Place { prefix: prefix.unwrap_or_default().into(), ..Place::new(system, name) }
}

/// The vault of a URL, where it is one of a host and nothing else. One without the domain of a cloud is a name of somebody's
/// own network, and no vault of that name.
fn vault_of(url: &str) -> Option<String> {
    let host = url.strip_prefix("https://")?;
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.is_empty() || !host.bytes().all(is_host) {
        return None;
    }
    Some(if host.contains('.') { vault_name(host) } else { url.to_owned() })
}

/// Whether a text is a location of Google: it becomes a part of a host's name.
pub(super) fn is_location(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(legal)
}

/// The domains of Azure Key Vault in its clouds, that of the public one first.
const VAULT_DOMAINS: [&str; 3] = [".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net"];

/// Whether a URL is one of Azure's own servers, and nobody else's.
pub(super) fn is_azure_vault(url: &str) -> bool {
    let Some(host) = url.strip_prefix("https://") else { return false };
    let host = host.strip_suffix('/').unwrap_or(host);
    let name = VAULT_DOMAINS.iter().find_map(|domain| host.strip_suffix(domain));
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    name.is_some_and(|name| !name.is_empty() && is_name(name))
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.".contains(&byte)
}

/// The name of a vault: of `https://NAME.vault.azure.net/`. In other clouds the same name is somebody else's, so there it is the
/// whole host. It knows no case, and is kept as it is written: what somebody pasted there is seen by that.
pub(super) fn vault_name(url: &str) -> String {
    let host = url.trim();
    let host = host.strip_prefix("https://").unwrap_or(host);
    let host = host.strip_suffix('/').unwrap_or(host);
    if !host.bytes().all(is_host) {
        return url.to_owned();
    }
    let is_public = host.to_ascii_lowercase().ends_with(VAULT_DOMAINS[0]);
    host[..host.len() - if is_public { VAULT_DOMAINS[0].len() } else { 0 }].to_owned()
}

/// A reference to a generator. Those that make something up read nothing; all others ask somebody for a value.
pub(super) fn generator(reach: &mut Reach, at: &str, reference: &Json<'_>) {
    reach.known(at, reference, &["apiVersion", "kind", "name"]);
    let kind = reference.get("kind").text().unwrap_or_default();
    if !MADE_UP.contains(&kind) {
        let text = "what this generator gives, its own object says, and the system that it asks; write a remote path instead";
        reach.doubt(&format!("{at}/kind"), text);
    }
}

/// A generator that makes something up.
pub fn made_up(_: &Foreign<'_>) -> Reach {
    Reach::default()
}

/// A generator that asks a system for a value, by an identity of its own.
pub fn asks(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.doubt(
        "/spec",
        "what this generator gives, the system that it asks says; write an ExternalSecret with a remote path",
    );
    names(&mut reach, "/spec", object.json.get("spec"));
    reach
}

/// What the controller keeps of a generator's work. To take it back it reads the generator out of it and does what that says,
/// with the Secrets that it names, whoever wrote it (`generatorstate_controller.go`, `Cleanup`).
pub fn state(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["garbageCollectionDeadline", "resource", "state"]);
    let resource = spec.get("resource");
    if !resource.get("kind").text().is_some_and(|kind| MADE_UP.contains(&kind)) {
        let text = "the operator asks the system of this generator to take back what it gave, by what stands here; leave such objects \
                    to the operator";
        reach.doubt("/spec/resource", text);
    }
    names(&mut reach, "/spec/resource", resource);
    reach
}

/// A generator whose values stand in the object.
pub fn fake(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    for (key, value) in object.json.get("spec").get("data").fields() {
        let at = Pointer::to(format!("/spec/data/{}", escape(key)));
        reach.literal(at, Some(key), value.text().unwrap_or_default());
    }
    reach.fault(
        "/spec/data",
        "the values of this generator stand in the object itself; store them, and write their path",
    );
    reach
}
