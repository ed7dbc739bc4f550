//! Leadership that moves while something is written, and two that lead at once.

use std::collections::BTreeSet;
use std::time::Duration;

use refgate::policy::path::secret_name;

use super::bed::{Bed, OTHER, WEB, done, settle, writes};
use super::objects::{LEASES, NAMESPACES, SECRETS};
use super::server::Fault;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("s{number}")).collect()
}

#[tokio::test(start_paused = true)]
async fn leadership_that_moves_in_the_middle_of_writes_moves_all_later_ones() {
    let bed = Bed::new("moves", "");
    let names = names(12);
    for name in &names {
        bed.hold(&format!("{WEB}/{name}"), name, "1");
    }
    bed.refer("web", "pod", &names.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut old, mut old_leads) = bed.electing("old").await;
    old_leads.wait().await;
    let (mut new, mut new_leads) = bed.electing("new").await;
    // From the third write on the old one's way to the API server is slow, and its lease is not renewed.
    let mut written = 0;
    bed.server.meet(move |call| match call.who {
        "old" if call.resource == SECRETS && call.verb == "create" => {
            written += 1;
            (written > 2).then_some(Fault::Slow(Duration::from_secs(4)))
        }
        "old" if call.resource == LEASES && written > 2 => Some(Fault::Refuse(500, "InternalError")),
        _ => None,
    });
    tokio::join!(old.pass(), async {
        new_leads.wait().await;
        new.pass().await;
    });
    let calls = bed.server.take_calls();
    let expected: Vec<String> = {
        let created =
            names.iter().map(|name| format!("create web/{}", secret_name(&format!("{WEB}/{name}"))));
        created.collect::<BTreeSet<_>>().into_iter().collect()
    };
    assert_eq!(done(&calls), expected, "each once");
    let at = |who: &str| {
        writes(&calls).into_iter().filter(|call| call.who == who).map(|call| call.at).collect::<Vec<_>>()
    };
    let (before, after) = (at("old"), at("new"));
    assert!(
        before.iter().max() < after.iter().min(),
        "the old one's last write is over before the new one's first"
    );
    assert!(before.len() > 2 && after.len() > 2, "{} and {}", before.len(), after.len());
    new.pass().await;
    assert_eq!(writes(&bed.server.take_calls()).len(), 0);
    assert_eq!(bed.listed("web").len(), 12);
}

#[tokio::test(start_paused = true)]
async fn two_leaders_at_once_do_no_damage() {
    let bed = Bed::new("both", ", forgetAfter: 0s");
    let (one, theirs) = (format!("{WEB}/one"), format!("{OTHER}/one"));
    bed.hold(&one, "1", "1");
    bed.hold(&theirs, "t", "1");
    bed.refer("web", "pod", &["one"]);
    bed.refer("other", "pod", &["one"]);
    let (mut a, mut b) = (bed.leading("a").await, bed.leading("b").await);
    tokio::join!(a.pass(), b.pass());
    let uid = bed.secret("web", &one).unwrap()["metadata"]["uid"].clone();
    assert_eq!(done(&bed.server.take_calls()).len(), 2);
    for replica in [&mut a, &mut b] {
        replica.pass().await;
        assert_eq!(
            replica.metric("refgate_sync_names_taken"),
            0.0,
            "what the other one made is nobody's obstacle"
        );
    }
    assert!(!bed.told("web").contains(&"NameTaken".to_owned()), "{:?}", bed.told("web"));
    bed.hold(&one, "2", "2");
    bed.server.remove("/api/v1/pods", "other", "pod");
    tokio::join!(a.pass(), b.pass());
    tokio::join!(a.pass(), b.pass());
    let secret = bed.secret("web", &one).unwrap();
    assert_eq!(secret["metadata"]["uid"], uid);
    assert_eq!((bed.value("web", &one).as_deref(), bed.secret("other", &theirs)), (Some("2"), None));
    bed.server.take_calls();
    tokio::join!(a.pass(), b.pass());
    assert_eq!(writes(&bed.server.take_calls()).len(), 0);
}

/// What another leader has written meanwhile counts, and nothing that was known before.
#[tokio::test(start_paused = true)]
async fn who_leads_again_knows_nothing() {
    let bed = Bed::new("again", ", rebindGrace: 10m");
    let one = format!("{WEB}/one");
    bed.hold(&one, "1", "1");
    bed.refer("web", "pod", &["one"]);
    let (mut first, mut leads) = bed.electing("first").await;
    leads.wait().await;
    first.pass().await;
    bed.bind("web", "g/wrong/stage");
    first.pass().await;
    assert!(bed.secret("web", &one).is_some());
    // It loses the lease; the binding is mended, and broken again much later, while another one leads.
    bed.server
        .meet(|call| (call.who == "first" && call.resource == LEASES).then_some(Fault::Refuse(500, "x")));
    let (mut second, mut leads) = bed.electing("second").await;
    leads.wait().await;
    bed.bind("web", WEB);
    second.pass().await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    bed.bind("web", "g/wrong/stage");
    second.pass().await;
    assert!(bed.secret("web", &one).is_some());
    // It has the lease again before it has looked at anything.
    drop(second);
    bed.server.meet(|_| None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    settle().await;
    first.cluster.touch(["web".to_owned()]);
    first.follow().await;
    assert!(bed.secret("web", &one).is_some(), "the grace began with the second mistake");
    assert!(bed.server.get(NAMESPACES, "", "web").is_some());
}
