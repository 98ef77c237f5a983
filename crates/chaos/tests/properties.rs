//! What a database that keeps its promises does is accepted; one change to it that certainly breaks one is refused.
//! For list-append another program's judge, adya, must not see more than ours.

mod simulator;

use adya::{Opts, Valid};
use bellwether_chaos::checker::{Verdict, judge};
use bellwether_chaos::history::{Call, Event, History, Kind, Operation, Outcome, Step, Workload, calls};
use bellwether_chaos::random::Random;
use proptest::prelude::*;

const OPERATIONS: usize = 250;

fn verdict(history: &History) -> Verdict {
    judge(history).expect("it is well formed")
}

/// What another program says about strict serializability.
fn adya_accepts(history: &History) -> bool {
    let lines: Vec<String> = history
        .events
        .iter()
        .map(|event| serde_json::to_string(event).expect("JSON"))
        .collect();
    let theirs = adya::History::from_json(&lines.join("\n")).expect("it reads our events");
    let opts = Opts {
        models: vec!["strict-serializable".into()],
        ..Opts::default()
    };
    adya::check(&theirs, adya::Workload::ListAppend, &opts).valid != Valid::False
}

fn workload() -> impl Strategy<Value = Workload> {
    prop_oneof![
        Just(Workload::Register),
        Just(Workload::ListAppend),
        Just(Workload::Bank),
        Just(Workload::Set),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_keeps_its_promises_is_accepted(workload in workload(), seed: u64, with_session_reads: bool) {
        let history = simulator::history(workload, seed, OPERATIONS, with_session_reads);
        let verdict = verdict(&history);
        prop_assert!(verdict.is_good(), "{}", verdict.violations[0]);
        prop_assert!(verdict.counts.ok > OPERATIONS / 2, "{:?}", verdict.counts);
        if workload == Workload::ListAppend && !with_session_reads {
            prop_assert!(adya_accepts(&history));
        }
    }

    #[test]
    fn what_breaks_one_is_refused(workload in workload(), seed: u64) {
        let mut history = simulator::history(workload, seed, OPERATIONS, false);
        let mut random = Random::new(seed ^ 1);
        let broken = match workload {
            Workload::Register => break_register(&mut history, &mut random),
            Workload::ListAppend => break_list(&mut history, &mut random),
            Workload::Bank => break_bank(&mut history, &mut random),
            Workload::Set => break_set(&mut history, &mut random),
        };
        if let Some(how) = broken {
            prop_assert!(!verdict(&history).is_good(), "not seen: {how}");
        }
    }

    #[test]
    fn whatever_adya_refuses_is_refused(seed: u64, changes in 1..4_usize) {
        let mut history = simulator::history(Workload::ListAppend, seed, OPERATIONS, false);
        let mut random = Random::new(seed ^ 2);
        for _ in 0..changes {
            disturb(&mut history, &mut random);
        }
        if !adya_accepts(&history) {
            prop_assert!(!verdict(&history).is_good(), "adya alone refuses it");
        }
    }
}

/// Acknowledged calls, with the event that ended each.
fn acknowledged(history: &History) -> Vec<(Call, usize)> {
    let calls = calls(&history.events).expect("it is well formed").into_iter();
    let ok = calls.filter(|call| call.outcome == Outcome::Ok);
    ok.map(|call| {
        let end = call.completed.expect("it ended") as usize;
        (call, end)
    })
    .collect()
}

/// One of the places at which this can be done.
fn pick<T>(mut places: Vec<T>, random: &mut Random) -> Option<T> {
    let place = (!places.is_empty()).then(|| random.below(places.len()))?;
    Some(places.swap_remove(place))
}

/// A read shows a value although another had been written after it, and both writes had ended before the read began.
fn break_register(history: &mut History, random: &mut Random) -> Option<String> {
    let ok = acknowledged(history);
    let writes = || {
        ok.iter().filter_map(|(call, end)| match call.operation {
            Operation::Write(key, value) => Some((key, value, call.invoked as usize, *end)),
            _ => None,
        })
    };
    let mut places = Vec::new();
    for (call, at) in &ok {
        let Operation::Read(key, _) = call.operation else {
            continue;
        };
        for (_, old, _, old_end) in writes().filter(|write| write.0 == key) {
            let later = writes()
                .any(|(other, _, begin, end)| other == key && begin > old_end && end < call.invoked as usize);
            if later {
                places.push((*at, key, old));
            }
        }
    }
    let (at, key, old) = pick(places, random)?;
    history.events[at].operation = Operation::Read(key, Some(old));
    Some(format!("event {at} reads {old}"))
}

/// A read lacks its last element, whose transaction had ended before the read began; or has its first twice; or its
/// last two in the other order.
fn break_list(history: &mut History, random: &mut Random) -> Option<String> {
    let ok = acknowledged(history);
    let ended = |key: i64, element: i64, before: u64| {
        ok.iter().any(|(call, end)| {
            let Operation::Txn(steps) = &call.operation else {
                return false;
            };
            steps.contains(&Step::Append(key, element)) && (*end as u64) < before
        })
    };
    let mut places = Vec::new();
    for (call, at) in &ok {
        let Operation::Txn(steps) = &call.operation else {
            continue;
        };
        if let [Step::Read(key, Some(list))] = &steps[..]
            && let [first, .., before, last] = list[..]
            && ended(*key, last, call.invoked)
        {
            let shorter = list[..list.len() - 1].to_vec();
            let twice = [&list[..], &[first]].concat();
            let others = [&list[..list.len() - 2], &[last, before]].concat();
            // The other order is certainly wrong where another read shows this one.
            let is_shown = ok
                .iter()
                .any(|(other, end)| end != at && shows(other, *key, list));
            places.push((*at, *key, shorter));
            places.push((*at, *key, twice));
            if is_shown {
                places.push((*at, *key, others));
            }
        }
    }
    let (at, key, list) = pick(places, random)?;
    let how = format!("event {at} reads {list:?}");
    history.events[at].operation = Operation::Txn(vec![Step::Read(key, Some(list))]);
    Some(how)
}

fn shows(call: &Call, key: i64, beginning: &[i64]) -> bool {
    let Operation::Txn(steps) = &call.operation else {
        return false;
    };
    steps.iter().any(|step| match step {
        Step::Read(other, Some(list)) => *other == key && list.starts_with(beginning),
        _ => false,
    })
}

/// A balance is one more than it was.
fn break_bank(history: &mut History, random: &mut Random) -> Option<String> {
    let reads = acknowledged(history);
    let reads = reads.into_iter().filter(|(call, _)| !call.operation.writes());
    let (_, at) = pick(reads.collect(), random)?;
    if let Operation::Balances(Some(balances)) = &mut history.events[at].operation {
        let account = random.below(balances.len());
        balances[account].1 += 1;
    }
    Some(format!("event {at} shows one more"))
}

/// A read lacks an element whose add had ended before it began, or shows one twice.
fn break_set(history: &mut History, random: &mut Random) -> Option<String> {
    let ok = acknowledged(history);
    let mut places = Vec::new();
    for (call, at) in &ok {
        if !matches!(call.operation, Operation::Elements(_)) {
            continue;
        }
        for (add, end) in &ok {
            if let Operation::Add(element) = add.operation
                && (*end as u64) < call.invoked
            {
                places.push((*at, element));
            }
        }
    }
    let (at, element) = pick(places, random)?;
    let is_dropped = random.percent(50);
    if let Operation::Elements(Some(elements)) = &mut history.events[at].operation {
        if is_dropped {
            elements.retain(|other| *other != element);
        } else {
            elements.push(element);
        }
    }
    Some(format!(
        "event {at}: {element} is {}",
        if is_dropped { "not there" } else { "there twice" }
    ))
}

/// Something happens to one answer, which may or may not be wrong then.
fn disturb(history: &mut History, random: &mut Random) {
    let is_ok = |event: &&mut Event| event.kind == Kind::Ok;
    let mut answers: Vec<&mut Event> = history.events.iter_mut().filter(is_ok).collect();
    let at = random.below(answers.len());
    let Operation::Txn(steps) = &mut answers[at].operation else {
        return;
    };
    let step = random.below(steps.len());
    if let Step::Read(_, Some(list)) = &mut steps[step]
        && !list.is_empty()
    {
        let place = random.below(list.len());
        match random.below(4) {
            0 => list.truncate(place),
            1 => drop(list.remove(place)),
            2 => list.swap(place, 0),
            _ => list.push(list[place]),
        }
    } else {
        answers[at].kind = Kind::Fail;
    }
}

#[test]
fn adya_refuses_what_it_is_asked_about() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/list-append-bad-g0.jsonl");
    let history = bellwether_chaos::history::file::read(&path).expect("a history");
    assert!(!adya_accepts(&history));
}

#[test]
fn a_long_history_is_judged_whole() {
    for workload in [Workload::Register, Workload::ListAppend, Workload::Bank] {
        let history = simulator::history(workload, 1, 20_000, false);
        let verdict = verdict(&history);
        assert!(verdict.is_good(), "{}", verdict.violations[0]);
        assert_eq!(
            verdict.counts.ok + verdict.counts.fail + verdict.counts.info,
            20_000
        );
    }
}
