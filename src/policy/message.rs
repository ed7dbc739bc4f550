//! The sentences that a user may read, so that they sound alike; what belongs to one reader of texts stands there.
//!
//! A sentence names paths, Secrets, containers and variables. It never holds a value, nor a text that might be one.

use super::printed::is_hidden;
use super::resolve::is_env_name;
use super::rules::Place;
use super::snapshot::Binding;

/// References are refused while the view of the cluster is too old.
pub const STALE: &str = "RefGate has not heard from the API server for longer than snapshot.maxAge, so no reference is \
                         resolved; ask the operators of the cluster, and try again";

/// Segments of the shortest path of a secret.
const FEWEST_SEGMENTS: usize = 4;

/// A namespace without a scope.
pub fn unbound(namespace: &str) -> String {
    format!(
        "namespace {namespace} is not bound to a group/app/env, so it has no secrets; ask an operator to bind it: \
         refgate bind {namespace} GROUP/APP/ENV"
    )
}

/// What has to be done before any reference is of use, in front of the advice to write one; nothing where the namespace is bound,
/// or where that is not known.
pub fn bind_first(binding: &Binding, namespace: &str) -> String {
    match binding {
        Binding::Bound { .. } | Binding::Unknown => String::new(),
        Binding::Unbound | Binding::Broken(_) => {
            format!(
                "have an operator bind the namespace first, refgate bind {namespace} GROUP/APP/ENV, then "
            )
        }
    }
}

/// A namespace whose labels do not read.
pub fn broken_binding(namespace: &str, why: &str) -> String {
    format!(
        "namespace {namespace} counts as not bound, so it has no secrets: {why}; ask an operator to bind it anew: refgate bind \
         {namespace} GROUP/APP/ENV"
    )
}

/// A path outside of what the namespace may read.
pub fn outside(path: &str, binding: &Binding) -> String {
    match binding {
        Binding::Bound { own, shared } if shared.is_empty() => {
            format!("{path} is outside of {own}, all that this namespace may read")
        }
        Binding::Bound { own, shared } => {
            let shared: Vec<&str> = shared.iter().map(|prefix| prefix.as_str()).collect();
            format!("{path} is outside of {own} and {}, all that this namespace may read", shared.join(", "))
        }
        _ => format!("{path} is outside of what this namespace may read: it is bound to nothing"),
    }
}

/// A path from the root that a reference names and that lies outside: what was meant, where that shows.
pub fn outside_from_the_root(path: &str, binding: &Binding) -> String {
    let Binding::Bound { own, shared } = binding else { return outside(path, binding) };
    if [own].into_iter().chain(shared).any(|scope| scope.as_str() == path) {
        return format!("{path} is a scope and no secret; write the name of one behind it: /{path}/NAME");
    }
    if path.split('/').count() < FEWEST_SEGMENTS {
        return format!(
            "/{path} is too short for a path from the root, /group/app/env/name; for a name of {own} leave the slash out: {path}"
        );
    }
    outside(path, binding)
}

/// A relative path that begins with what is no part of a name.
pub fn no_slash(path: &str, binding: &Binding) -> String {
    let Binding::Bound { own, shared } = binding else { return outside(path, binding) };
    let scope = [own].into_iter().chain(shared).find(|scope| scope.begins(path));
    let name = if scope.is_some_and(|scope| scope.as_str() == path) { "/NAME" } else { "" };
    format!("without a slash before it {path} is a name within {own}; write it from the root: /{path}{name}")
}

/// A Secret of the sync, and an object by which something else would fill it.
pub fn overwrites(secret: &str) -> String {
    format!("Secret {secret} is one that RefGate syncs, and this object would overwrite it; name another")
}

/// A Secret that holds a foreign path, whoever wrote its name. The foreign path itself is not told.
pub fn foreign_secret(secret: &str) -> String {
    format!(
        "Secret {secret} holds a path that this namespace may not read; refer to a secret of its own scope instead"
    )
}

/// The Secret that would be used holds another path.
pub fn holds_something_else(path: &str, secret: &str, other: Option<&str>) -> String {
    let other = other.unwrap_or("something else");
    format!(
        "{path} would be read from Secret {secret}, but the catalogue says that it holds {other}; nothing is injected"
    )
}

/// The Secret that the sync would make of a path is another system's, which fills it from something else.
pub fn is_anothers(path: &str, secret: &str, by: &str) -> String {
    format!(
        "{path} is not synced yet and would be read from Secret {secret}, which {by} fills from something else; \
         give that another target"
    )
}

/// A value where the name of a secret belongs.
pub const PASTED: &str = "what stands here looks like a secret itself, and the name of one is wanted; store the value, \
                          replace it where it was written down, and write its name";

/// Two Secrets hold the same path.
pub fn two_sources(path: &str, first: &str, second: &str) -> String {
    format!("two Secrets hold {path}: {first} and {second}; {first} is used, because it sorts first")
}

/// Only other systems fill Secrets here, and none of their objects fills one from this path.
pub fn nobody_fills(path: &str, similar: Option<&str>) -> String {
    let hint = similar.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!(
        "no object of the sync systems in this namespace fills a Secret from {path}; add one, such as an ExternalSecret, or say by \
         refgate.dev/paths on one that does which key holds it{hint}"
    )
}

/// Another system fills a Secret from the path, but no key of it with what the reference asks for.
pub fn no_key_holds(
    path: &str,
    by: &str,
    secret: &str,
    property: Option<&str>,
    similar: Option<&str>,
) -> String {
    let what = property.map_or("the whole value".to_owned(), |property| format!("property {property}"));
    let hint = similar.map(|name| format!("; did you mean #{name}?")).unwrap_or_default();
    format!("{by} fills Secret {secret} from {path}, and no key of it holds {what}{hint}")
}

/// `env-from` of a secret without properties.
pub fn env_from_plain(path: &str) -> String {
    format!(
        "{path} has no properties that can be env vars, since it is no JSON object; name a variable for it: env.refgate.dev/NAME"
    )
}

/// `env-from` of a secret whose properties come with something else, by keys that nobody can name.
pub fn env_from_shared(path: &str, by: &str, secret: &str) -> String {
    format!(
        "{by} fills Secret {secret} from {path}, and not from it alone or not under the names of its properties, so all of the Secret \
         would be something else; name each variable: env.refgate.dev/NAME: NAME_OF_SECRET#PROPERTY, or give {path} a Secret of its own"
    )
}

/// `env-from` of a secret of which no property is known.
pub fn env_from_unknown(path: &str, by: &str, secret: &str) -> String {
    format!(
        "{by} fills Secret {secret} from {path}, and no key of it is known to hold one property; name a variable for it: \
         env.refgate.dev/NAME, or have the object extract all properties into a Secret of their own"
    )
}

/// Several secrets of `env-from`, one of which brings variables that nobody can name beforehand.
pub fn env_from_unnamed(path: &str) -> String {
    format!(
        "which properties {path} has is not known, so nobody can say whether another secret of env-from has one of the same name; \
         if so, what is listed later counts, and single variables before whole Secrets"
    )
}

/// A reference that only the mutating webhook could have resolved.
pub const MADE_LATER: &str = "this reference is not resolved: RefGate's mutating webhook did not see it. Where the manifest does not hold \
                              it, a mutator that comes later added it to the pod: its configuration needs a name that sorts before \
                              zz-refgate, or the reference goes into the manifest. Where the manifest holds it, the configuration \
                              zz-refgate is missing or leaves this pod out: ask the operators of the cluster";

/// A reference in an ephemeral container.
pub const EPHEMERAL: &str = "references are not resolved in ephemeral containers, because only a new pod can be changed; leave it out";

/// A reference on a pod that is there already.
pub const TOO_LATE: &str = "references are resolved only when a pod is made; make the pod anew";

/// A reference that arrives by `$(VAR)`.
pub const ASSEMBLED: &str = "the text becomes a reference only once $(VAR) is expanded, and such references are not resolved; write it out in one piece";

/// A reference that arrives by `fieldRef`.
pub const BY_FIELD: &str = "the annotation that this variable reads holds a reference, and those are not resolved; write the reference \
                            as the value of the variable";

/// A variable that is used before it is there.
pub fn early_use(name: &str) -> String {
    format!("$({name}) does not get the value of {name}, which stands behind it; move {name} before it")
}

/// A reference of another system with text of a label or annotation in it.
pub const BY_METADATA: &str = "the value is or can become a reference of another system by a label or annotation that it reads, and those \
                               change while the pod runs; write the reference out, without fieldRef";

/// A reference of another system that an entry of the same name hides.
pub const BY_MISSING_SOURCE: &str = "the value becomes a reference of another system while an optional source is missing, because another entry \
                                     of env has the same name as that one; give each entry a name of its own";

/// An entry with both a reference and another source.
pub const BOTH: &str = "the variable has a reference as its value and valueFrom besides; leave one out";

/// Expansions without end.
pub const EXPANSION: &str = "$(VAR) expands to more than 1 MiB of text, which is not judged; write less";

/// More faults than are kept.
pub const TOO_MANY_FAULTS: &str =
    "more references or values in it are refused than are listed; mend those that are first";

/// More references than any pod has.
pub const TOO_MANY_REFERENCES: &str = "it has more than 2,000 references to secrets; no pod needs so many";

/// Annotations times containers.
pub const TOO_MANY_INJECTIONS: &str = "its annotations ask for more than 10,000 variables and files in all containers \
                                       together; name fewer in refgate.dev/containers";

/// More than fits into `refgate.dev/refs`.
pub const TOO_MANY_READS: &str = "its containers read so many keys of synced Secrets that the annotation refgate.dev/refs would not hold \
                                  them; use fewer";

/// What starts like a reference of another system.
pub fn malformed(system: &str) -> String {
    format!(
        "this starts like a reference of {system} and does not read as one, so it cannot be judged; write secret:NAME"
    )
}

/// The same where nothing of ours is resolved: in an entry of a ConfigMap.
pub fn say_in_data(text: &mut String) {
    if text.contains("write secret:NAME") {
        text.push_str(", as the value of the container's env var");
    }
}

/// A text that misses a prefix of ours by a letter. What stands behind it is not repeated: it may be a value.
pub fn near_miss(prefix: &str) -> String {
    format!(
        "this looks like a reference and is none, so the container gets the text itself; write {prefix}NAME"
    )
}

/// Two references want the same place.
pub fn clash(what: &str, first: &str, second: &str) -> String {
    format!("{first} and {second} both want the {what}; leave one out")
}

/// An annotation that nobody knows.
pub fn unknown_annotation(similar: Option<&str>) -> String {
    let hint = similar.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
    format!(
        "RefGate knows no such annotation; {hint}it knows env.refgate.dev/NAME, file.refgate.dev/NAME and, behind refgate.dev/, env-from, containers, mount-path, file-mode, restart and allow-plaintext"
    )
}

/// An annotation on a workload's own metadata.
pub fn misplaced(key: &str, template: &str) -> String {
    format!(
        "annotation {key} does nothing here; move it to the pod template, {template}/metadata/annotations"
    )
}

/// A text longer than what is scanned.
pub const CLIPPED: &str = "only the first MiB of this text was searched for secrets";

/// An annotation of ours on an object that holds data.
pub fn does_nothing(key: &str) -> String {
    format!("annotation {key} does nothing here: no pods come of this object")
}

/// A reference as an entry of a ConfigMap.
pub const NOT_IN_CONFIG_MAPS: &str = "references are not resolved in ConfigMaps, and whatever reads this gets the text itself; write it as \
                                      the value of the container's env var";

/// `refgate.dev/allow-plaintext` without effect.
pub const IDLE_MARK: &str = "annotation refgate.dev/allow-plaintext lets nothing pass: no plaintext is found under the names in it; \
                             take those names out";

/// `refgate.dev/allow-plaintext` that names what is found, where no row of the configuration lets it count.
pub const MARK_NOT_PERMITTED: &str = "annotation refgate.dev/allow-plaintext lets nothing pass: the configuration does not permit it \
                                      here; ask an operator for a row of allow with annotation: true, or store the value";

/// Plaintext that passes because its workload says so.
pub fn passes_by_mark(rule: &str) -> String {
    format!("plaintext (rule {rule}) passes by annotation refgate.dev/allow-plaintext, and that is on record")
}

/// What to write instead of a plaintext, and how to store the value without the shell or the process list seeing it.
pub fn instead(place: Place, name: Option<&str>, binding: &Binding, namespace: &str) -> String {
    let mut secret = name.map_or_else(|| "NAME".to_owned(), secret_for);
    if matches!(place, Place::Argument | Place::Command) {
        // Options have hyphens where names of secrets and variables have underscores.
        secret = secret.replace('-', "_");
    }
    let scope = match binding {
        Binding::Bound { own, .. } => own.as_str(),
        _ => "GROUP/APP/ENV",
    };
    let put = format!("store the value: refgate put {scope}/{secret} < FILE");
    let first = bind_first(binding, namespace);
    match place {
        Place::Env => format!("{first}write value: \"secret:{secret}\", and {put}"),
        Place::Argument | Place::Command => {
            let variable = name.map_or_else(|| "VAR".to_owned(), |_| variable_for(&secret));
            format!(
                "{first}write $({variable}), with an env var {variable} whose value is \"secret:{secret}\", and {put}"
            )
        }
        Place::Header | Place::UrlPath => {
            "probe an endpoint that needs no credential, or use exec with $VAR".to_owned()
        }
        Place::Annotation => {
            "remove it; an annotation can be read by anybody who may read the object".to_owned()
        }
        Place::VolumeAttribute => "name a Secret in the volume's secretRef".to_owned(),
        Place::ConfigMap => {
            let file = name.unwrap_or("NAME");
            // Names with dots may be those of variables, too; keys that have one are files.
            let env = match name.filter(|name| is_env_name(name) && !name.contains(['.', '-'])) {
                Some(name) => format!("env {name} of the pod with value: \"secret:{secret}\""),
                None => format!("the annotation file.refgate.dev/{file}: {secret} of the pod"),
            };
            format!("{first}take it out and write {env}, and {put}")
        }
        Place::Secret => {
            format!(
                "{first}take it out of the file and write references, and {put}; the sync makes the Secret"
            )
        }
    }
}

/// A plaintext that no pod gets.
pub fn replaced(name: &str) -> String {
    format!(
        "annotation env.refgate.dev/{name} replaces this plaintext in the pod, but it still stands in the manifest; make it empty or a placeholder"
    )
}

/// A name for the secret that belongs into an env var: the same words, as paths are written.
fn secret_for(name: &str) -> String {
    let legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    name.chars()
        .map(|character| if legal(character) { character.to_ascii_lowercase() } else { '_' })
        .collect()
}

/// A name for the env var that brings a secret to a command line.
fn variable_for(secret: &str) -> String {
    secret.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Words for an env var of a container.
pub fn env_place(container: &str, name: &str) -> String {
    format!("container {container}, env {name}")
}

/// Several places in a row; the variables of one container share its name.
pub fn places(places: &[&str]) -> String {
    let mut rows: Vec<(&str, Vec<&str>)> = Vec::new();
    for place in places {
        let variable =
            place.split_once(", env ").filter(|(container, _)| container.starts_with("container "));
        match (variable, rows.last_mut()) {
            (Some((container, name)), Some((last, names))) if *last == container && !names.is_empty() => {
                names.push(name);
            }
            (Some((container, name)), _) => rows.push((container, vec![name])),
            (None, _) => rows.push((place, Vec::new())),
        }
    }
    let said = |(place, names): (&str, Vec<&str>)| match &names[..] {
        [] => place.to_owned(),
        [name] => format!("{place}, env {name}"),
        [first @ .., last] => format!("{place}, env {} and {last}", first.join(", ")),
    };
    rows.into_iter().map(said).collect::<Vec<_>>().join(", and ")
}

/// Secrets as env vars, where a file would do.
pub fn secrets_in_env(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(4);
    names.truncate(4);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "secrets as env vars: {}{more}; where the program can read a file, secret+file: keeps them out of \
         /proc/<pid>/environ and follows rotations",
        names.join(", ")
    )
}

/// At most so many characters, with a mark where some are missing.
pub fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => text.chars().take(characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// What stands on a line of a denial, or in a warning: a blank in the place of each control character, which would drop the whole
/// warning, and of each that hides or reorders others.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if is_hidden(character) { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn variables_of_one_container_share_its_name() {
        for (subjects, expected) in [
            (&["volume a"][..], "volume a"),
            (&["container web, env A"], "container web, env A"),
            (&["container web, env A", "container web, env B"], "container web, env A and B"),
            (
                &[
                    "container web, env A",
                    "container web, env B",
                    "container web, env C",
                    "container api, env A",
                ],
                "container web, env A, B and C, and container api, env A",
            ),
            (
                &[
                    "container web",
                    "container web, env A",
                    "container web, envFrom",
                    "container web, env B",
                    "volume a",
                ],
                "container web, and container web, env A, and container web, envFrom, and container web, env B, and volume a",
            ),
        ] {
            assert_eq!(places(subjects), expected);
        }
    }
}
