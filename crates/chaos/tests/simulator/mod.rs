//! Histories of a database that exists in memory only and keeps its promises: every operation takes effect at one
//! moment between its beginning and its end, or never. Session reads see an older moment that their process allows.

use std::collections::{BTreeMap, HashMap};

use bellwether_chaos::history::{Bank, Event, FORMAT, Header, History, Kind, Operation, Step, Workload};
use bellwether_chaos::random::Random;

const CLIENTS: usize = 5;
const KEYS: usize = 3;
const BANK: Bank = Bank {
    accounts: 4,
    balance: 20,
};

/// What the database holds.
#[derive(Debug, Clone, Default)]
struct State {
    registers: BTreeMap<i64, i64>,
    lists: BTreeMap<i64, Vec<i64>>,
    balances: BTreeMap<i64, i64>,
    set: Vec<i64>,
}

struct Client {
    process: u64,
    open: Option<Open>,
    /// The latest moment that its process has seen.
    seen: usize,
}

struct Open {
    operation: Operation,
    strong: bool,
    /// Once it has taken effect: what it is told, or nothing when it failed.
    told: Option<Option<Operation>>,
}

pub struct Simulator {
    random: Random,
    workload: Workload,
    /// One for each change; sessions may read old ones.
    states: Vec<State>,
    clients: Vec<Client>,
    /// Of unknown outcome, and may yet take effect.
    adrift: Vec<Operation>,
    events: Vec<Event>,
    next_value: i64,
    next_process: u64,
    with_session_reads: bool,
}

/// A history of so many operations.
pub fn history(workload: Workload, seed: u64, operations: usize, with_session_reads: bool) -> History {
    let client = |process| Client {
        process,
        open: None,
        seen: 0,
    };
    let first = State {
        balances: (0..BANK.accounts)
            .map(|account| (account, BANK.balance))
            .collect(),
        ..State::default()
    };
    let mut simulator = Simulator {
        random: Random::new(seed),
        workload,
        states: vec![first],
        clients: (0..CLIENTS as u64).map(client).collect(),
        adrift: Vec::new(),
        events: Vec::new(),
        next_value: 1,
        next_process: CLIENTS as u64,
        with_session_reads,
    };
    simulator.run(operations);
    History {
        header: Header {
            format: FORMAT.to_owned(),
            workload,
            seed,
            nodes: 3,
            clients: CLIENTS as u64,
            seconds: 1,
            version: "simulated".to_owned(),
            settings: BTreeMap::new(),
            faults: Vec::new(),
            bank: (workload == Workload::Bank).then_some(BANK),
        },
        events: simulator.events,
        faults: Vec::new(),
        is_cut_short: false,
    }
}

impl Simulator {
    fn run(&mut self, operations: usize) {
        let mut begun = 0;
        while begun < operations || self.clients.iter().any(|client| client.open.is_some()) {
            let at = self.random.below(CLIENTS);
            match &self.clients[at].open {
                None if begun < operations => {
                    begun += 1;
                    self.begin(at);
                }
                None => {}
                Some(open) if open.told.is_some() || self.random.percent(3) => self.end(at),
                Some(_) => self.take_effect(at),
            }
            if !self.adrift.is_empty() && self.random.percent(5) {
                let operation = self.adrift.swap_remove(0);
                if self.random.percent(50) {
                    self.execute(&operation);
                }
            }
        }
    }

    fn begin(&mut self, at: usize) {
        let operation = self.draw();
        let strong = !self.with_session_reads || self.random.percent(50);
        self.record(at, Kind::Invoke, operation.clone(), strong);
        self.clients[at].open = Some(Open {
            operation,
            strong,
            told: None,
        });
    }

    fn record(&mut self, at: usize, kind: Kind, operation: Operation, strong: bool) {
        let index = self.events.len() as u64;
        self.events.push(Event {
            index,
            kind,
            process: self.clients[at].process,
            node: at as u64 % 3 + 1,
            strong,
            operation,
            time: index * 1_000,
            error: None,
        });
    }

    fn take_effect(&mut self, at: usize) {
        let (operation, strong) = {
            let open = self.clients[at].open.as_ref().expect("it is open");
            (open.operation.clone(), open.strong)
        };
        let told = if strong || operation.writes() {
            let told = self.execute(&operation);
            self.clients[at].seen = self.states.len() - 1;
            told
        } else {
            let (oldest, newest) = (self.clients[at].seen, self.states.len() - 1);
            let moment = oldest + self.random.below(newest - oldest + 1);
            self.clients[at].seen = moment;
            apply(&mut self.states[moment].clone(), &operation)
        };
        self.clients[at].open.as_mut().expect("it is open").told = Some(told);
    }

    /// At this moment; `None` when it fails.
    fn execute(&mut self, operation: &Operation) -> Option<Operation> {
        let mut state = self.states.last().expect("there is a first").clone();
        let told = apply(&mut state, operation);
        if told.is_some() && operation.writes() {
            self.states.push(state);
        }
        told
    }

    fn end(&mut self, at: usize) {
        let open = self.clients[at].open.take().expect("it is open");
        let is_unknown = open.told.is_none() || self.random.percent(3);
        match open.told {
            told if is_unknown => {
                self.record(at, Kind::Info, open.operation.clone(), true);
                if told.is_none() {
                    self.adrift.push(open.operation);
                }
                self.clients[at].process = self.next_process;
                self.clients[at].seen = 0;
                self.next_process += 1;
            }
            Some(Some(told)) => self.record(at, Kind::Ok, told, true),
            _ => self.record(at, Kind::Fail, open.operation, true),
        }
    }

    fn value(&mut self) -> i64 {
        self.next_value += 1;
        self.next_value
    }

    fn draw(&mut self) -> Operation {
        let key = self.random.below(KEYS) as i64;
        match self.workload {
            Workload::Register => match self.random.below(3) {
                0 => Operation::Read(key, None),
                1 => Operation::Write(key, self.value()),
                _ => {
                    let now = self.states.last().expect("there is a first");
                    let old = now.registers.get(&key).copied().unwrap_or(-1);
                    Operation::Cas(key, (old, self.value()))
                }
            },
            Workload::ListAppend => {
                let steps = 1 + self.random.below(3);
                Operation::Txn((0..steps).map(|_| self.draw_step()).collect())
            }
            Workload::Bank if self.random.percent(40) => Operation::Balances(None),
            Workload::Bank => {
                let from = self.random.below(BANK.accounts as usize) as i64;
                let further = 1 + self.random.below(BANK.accounts as usize - 1) as i64;
                let amount = 1 + self.random.below(9) as i64;
                let to = (from + further) % BANK.accounts;
                Operation::Transfer { from, to, amount }
            }
            Workload::Set if self.random.percent(40) => Operation::Elements(None),
            Workload::Set => Operation::Add(self.value()),
        }
    }

    /// Lists are given up after a while for others, or they would grow without end.
    fn draw_step(&mut self) -> Step {
        let age = self.events.len() / 300 * KEYS;
        let key = (age + self.random.below(KEYS)) as i64;
        if self.random.percent(50) {
            Step::Append(key, self.value())
        } else {
            Step::Read(key, None)
        }
    }
}

/// Executes an operation; what it is told, or nothing when it fails.
fn apply(state: &mut State, operation: &Operation) -> Option<Operation> {
    match operation {
        Operation::Read(key, _) => Some(Operation::Read(*key, state.registers.get(key).copied())),
        Operation::Write(key, value) => {
            state.registers.insert(*key, *value);
            Some(operation.clone())
        }
        Operation::Cas(key, (old, new)) => {
            let held = state.registers.get_mut(key).filter(|held| *held == old)?;
            *held = *new;
            Some(operation.clone())
        }
        Operation::Txn(steps) => Some(Operation::Txn(
            steps.iter().map(|step| apply_step(state, step)).collect(),
        )),
        Operation::Transfer { from, to, amount } => {
            let balance = state
                .balances
                .get_mut(from)
                .filter(|balance| **balance >= *amount)?;
            *balance -= amount;
            *state.balances.get_mut(to)? += amount;
            Some(operation.clone())
        }
        Operation::Balances(_) => {
            let balances: HashMap<i64, i64> = state.balances.clone().into_iter().collect();
            Some(Operation::Balances(Some(balances.into_iter().collect())))
        }
        Operation::Add(element) => {
            state.set.push(*element);
            Some(operation.clone())
        }
        Operation::Elements(_) => Some(Operation::Elements(Some(state.set.clone()))),
    }
}

fn apply_step(state: &mut State, step: &Step) -> Step {
    match step {
        Step::Append(key, element) => {
            state.lists.entry(*key).or_default().push(*element);
            step.clone()
        }
        Step::Read(key, _) => Step::Read(*key, Some(state.lists.get(key).cloned().unwrap_or_default())),
    }
}
