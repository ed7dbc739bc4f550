//! The page of a carrier: what `refgate carriers show` prints, and what `docs/carriers.md` holds.

use std::fmt::Write as _;

use super::{CARRIERS, Carrier, Handling, Kind};

/// What there is to say of a carrier besides its kinds.
#[derive(Debug)]
pub struct Doc {
    /// One sentence.
    pub summary: &'static str,
    /// Where paths stand, and what is done with them.
    pub fields: &'static [(&'static str, &'static str)],
    /// What holds.
    pub enforced: &'static [&'static str],
    /// What no admission can decide.
    pub undecidable: &'static [&'static str],
    /// The policy of the secret manager to put beside it.
    pub beside: &'static str,
}

/// The word for what is done with a kind.
pub fn word(kind: &Kind) -> &'static str {
    match kind.handling {
        Handling::Judged { .. } => "judged",
        Handling::Harmless => "passes",
    }
}

/// The page of one carrier, in Markdown.
pub fn page(carrier: &Carrier) -> String {
    let mut out = String::new();
    let Doc { summary, fields, enforced, undecidable, beside } = &carrier.doc;
    // Writing to a String cannot fail.
    let _ = writeln!(out, "## {} (`{}`)\n\n{summary}.\n", carrier.title, carrier.id);
    let kinds = !carrier.kinds.is_empty();
    if kinds {
        let _ = writeln!(out, "| kind | versions | of | in bound namespaces |\n| --- | --- | --- | --- |");
    }
    for kind in carrier.kinds {
        let of = if kind.cluster_scoped { "the cluster" } else { "a namespace" };
        let versions = kind.versions.join(", ");
        let _ = writeln!(out, "| `{}.{}` | {versions} | {of} | {} |", kind.kind, kind.group, word(kind));
    }
    let _ = writeln!(out, "{}| field | what it is |\n| --- | --- |", if kinds { "\n" } else { "" });
    for (field, what) in *fields {
        // What has marks of its own is a sentence.
        let mark = if field.contains('`') { "" } else { "`" };
        let _ = writeln!(out, "| {mark}{field}{mark} | {what} |");
    }
    for (title, sentences) in [("Enforced", enforced), ("What no admission can decide", undecidable)] {
        let _ = writeln!(out, "\n{title}:\n");
        for sentence in *sentences {
            let _ = writeln!(out, "- {sentence}");
        }
    }
    let _ = writeln!(out, "\nWhat to set up beside it, which RefGate cannot: {beside}");
    out
}

/// All pages: the text of `docs/carriers.md`.
pub fn pages() -> String {
    let mut out = String::from(HEAD);
    for carrier in CARRIERS {
        out.push('\n');
        out.push_str(&page(carrier));
    }
    out
}

const HEAD: &str = "\
# Carriers

Systems that bring secrets into a cluster by objects of their own, and what RefGate holds them to. A namespace reaches only the paths of
its own `group/app/env` and its shared paths, by whatever object; levels do not switch that off. This page is generated:
`refgate carriers show NAME` prints a part of it.

- What a carrier cannot decide is denied, or allowed with a warning and an audit annotation where `carriers.undecided` says `audit`.
- Kinds of the whole cluster, and objects in namespaces that are bound to nothing, are denied, or audited where `carriers.clusterScoped`
  and `carriers.unbound` say so.
- A kind of the same API groups that is not listed does not come into a bound namespace.
- Which key of a Secret holds which path is read from the object, and references resolve by it. Where the object does not say it, as a SealedSecret, its
  annotation `refgate.dev/paths` can: [reference](reference.md#world-and-catalogue).
- Two changes at once are each judged against the state before either, and objects of before the installation were never asked about.
  `serve` judges again what its watches bring (metric `refgate_carriers_outside`, and a line in the log), and `refgate scan` lists it.
- The Secret that such an object fills is refused in pods for as long as the object is there and would be refused. Whoever may delete the object, or its store,
  gets past that where the Secret stays: take the Secret away too.
";
