//! Injection against the oracle, on its own output, and with fields that nobody has heard of.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use refgate::policy::level::Level;
use refgate::policy::message;
use serde_json::{Value, json};

use super::{config, denial, generate, mutated, patched, validated, world};
use crate::oracle;

/// All places in a JSON text, as pointers.
pub fn pointers(value: &Value, here: &str, wanted: &dyn Fn(&Value) -> bool, found: &mut Vec<String>) {
    if wanted(value) {
        found.push(here.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(field, &format!("{here}/{key}"), wanted, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{here}/{index}"), wanted, found);
            }
        }
        _ => {}
    }
}

/// The patch gives what the oracle gives, and there is a refusal where it refuses.
fn agree(pod: &Value, world: &oracle::World) -> Result<(), TestCaseError> {
    let decision = mutated(pod, &world::snapshot(world, None));
    match (oracle::inject(pod, world), denial(&decision)) {
        (Ok(wanted), None) => {
            let patched = patched(pod, &decision);
            prop_assert!(patched == wanted, "patched to\n{patched}\nwanted\n{wanted}");
            prop_assert_eq!(decision.patch.is_some(), wanted != *pod);
        }
        (Ok(wanted), Some(message)) => {
            prop_assert!(false, "refused: {message}\nwanted\n{wanted}");
        }
        (Err(why), None) => prop_assert!(false, "not refused, though {why}"),
        (Err(_), Some(_)) => prop_assert!(decision.patch.is_none(), "a refusal with a patch"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn a_patch_does_what_the_oracle_does(pod in generate::any_pod(), world in world::any()) {
        agree(&pod, &world)?;
    }

    /// Other mutators, and other versions of the catalogue, meet pods that are injected by half.
    #[test]
    fn half_done_pods_are_finished(
        pod in generate::pod(false),
        before in world::bound(),
        world in world::bound(),
        lost in prop::collection::vec(any::<Index>(), 0..3),
    ) {
        let mut pod = oracle::inject(&pod, &before).unwrap_or(pod.0);
        for index in lost {
            let mut found = Vec::new();
            let losable =
                |value: &Value| ["mountPath", "projected", "value"].iter().any(|key| value.get(key).is_some());
            pointers(&pod, "", &losable, &mut found);
            if let Some(at) = found.get(index.index(found.len().max(1))) {
                let (list, position) = at.rsplit_once('/').unwrap();
                pod.pointer_mut(list).unwrap().as_array_mut().unwrap().remove(position.parse().unwrap());
            }
        }
        agree(&pod, &world)?;
    }

    #[test]
    fn our_own_output_is_left_alone(pod in generate::pod(false), mut world in world::bound()) {
        // The pods read a shared Secret of their own accord, which is foreign where nothing is shared.
        world.shared = vec![world::SHARED.to_owned()];
        let snapshot = world::snapshot(&world, Some(Level::Off));
        let first = mutated(&pod, &snapshot);
        prop_assume!(denial(&first).is_none());
        let patched = patched(&pod, &first);
        let second = mutated(&patched, &snapshot);
        prop_assert_eq!(denial(&second), None);
        prop_assert_eq!(second.patch, None);
        let validated = validated("Pod", &patched, &snapshot);
        if let Some(message) = denial(&validated) {
            prop_assert!(!message.contains(message::MADE_LATER), "unresolved: {}", message);
            prop_assert!(false, "denied: {message}");
        }
    }

    #[test]
    fn unknown_fields_survive(
        pod in generate::pod(false),
        world in world::bound(),
        places in prop::collection::vec((any::<Index>(), 0..4usize), 1..6),
    ) {
        const UNKNOWN: [&str; 4] = ["futureField", "x~y/z", "Value", "value_from"];
        let contents = json!({"deep": [{"nested": null}, 1.5e300, "ä"], "value": "secret:smtp"});
        let mut pod = pod.0;
        let (mut found, mut planted) = (Vec::new(), Vec::new());
        pointers(&pod, "", &Value::is_object, &mut found);
        // A reference replaces what a variable was read from, and annotations hold strings.
        found.retain(|at| !at.contains("/valueFrom") && !at.ends_with("/annotations"));
        for (index, key) in places {
            let at = index.get(&found);
            pod.pointer_mut(at).unwrap()[UNKNOWN[key]] = contents.clone();
            planted.push(format!("{at}/{}", UNKNOWN[key].replace('~', "~0").replace('/', "~1")));
        }
        let decision = mutated(&pod, &world::snapshot(&world, None));
        let patched = patched(&pod, &decision);
        for at in planted {
            prop_assert_eq!(patched.pointer(&at), Some(&contents), "{}", at);
        }
        agree(&pod, &world)?;
    }
}

/// The properties say something only while the generator gives pods of every fate.
#[test]
fn generated_pods_meet_every_fate() {
    let mut runner = TestRunner::new(config(256));
    let strategy = (generate::any_pod(), world::any());
    let (mut patched, mut refused, mut untouched, mut volumes) = (0, 0, 0, 0);
    for _ in 0..400 {
        let (pod, world) = strategy.new_tree(&mut runner).unwrap().current();
        let decision = mutated(&pod, &world::snapshot(&world, None));
        match (denial(&decision), &decision.patch) {
            (Some(_), _) => refused += 1,
            (None, None) => untouched += 1,
            (None, Some(patch)) => {
                patched += 1;
                volumes += usize::from(patch.contains("/spec/volumes"));
            }
        }
    }
    let counts = [patched, refused, untouched, volumes];
    assert!(
        counts.iter().all(|count| *count >= 20),
        "patched, refused, untouched, with a volume: {counts:?}"
    );
}
