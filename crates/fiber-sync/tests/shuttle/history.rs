//! What happened, and whether a sequential model explains it.
//!
//! An operation of a history takes effect in two steps between its call and its return: it
//! *begins*, which may put it in line, and it *ends*, with its result. A history is explained if
//! there is an order of these steps that the model allows. (Linearizability, as of dual data
//! structures.)

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Mutex;

/// A primitive as simple as can be, and what may be done with it.
pub(crate) trait Model: Clone + Eq + Hash {
    type Operation: Debug;

    /// The operation `id` begins.
    fn begin(&mut self, id: usize, operation: &Self::Operation);

    /// Whether the operation can end now as it did, and ends it. `is_alone`: no other operation
    /// overlapped, which is no excuse then for not having tried hard.
    fn end(&mut self, id: usize, operation: &Self::Operation, is_alone: bool) -> bool;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Call(usize),
    Return(usize),
}

/// Operations, with their results, and the order of calls and returns.
pub(crate) struct History<O>(Mutex<(Vec<Event>, Vec<Option<O>>)>);

impl<O: Debug> History<O> {
    pub(crate) fn new() -> Self {
        History(Mutex::new((Vec::new(), Vec::new())))
    }

    /// Records an operation, which `f` carries out and returns with its result.
    pub(crate) fn record<R>(&self, f: impl FnOnce() -> (O, R)) -> R {
        // No other thread of a model runs while this is locked.
        let id = {
            let (events, operations) = &mut *self.0.lock().unwrap();
            operations.push(None);
            events.push(Event::Call(operations.len() - 1));
            operations.len() - 1
        };
        let (operation, result) = f();
        let (events, operations) = &mut *self.0.lock().unwrap();
        events.push(Event::Return(id));
        operations[id] = Some(operation);
        result
    }

    /// Panics unless `model` explains what was recorded.
    pub(crate) fn must_be_explained_by<M: Model<Operation = O>>(self, model: M) {
        let (events, operations) = self.0.into_inner().unwrap();
        let operations: Vec<O> = operations.into_iter().map(Option::unwrap).collect();
        let search = Search { events: &events, operations: &operations };
        let phases = vec![Phase::Absent; operations.len()];
        let is_explained = search.explains(0, &phases, &model, &mut HashSet::new());
        assert!(is_explained, "nothing explains {events:?} of {operations:#?}");
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Absent,
    Called,
    Begun,
    Ended,
}

struct Search<'a, O> {
    events: &'a [Event],
    operations: &'a [O],
}

impl<O> Search<'_, O> {
    /// Whether some order of steps leads from here to the end. `seen`: where none does.
    fn explains<M: Model<Operation = O>>(
        &self,
        at: usize,
        phases: &[Phase],
        model: &M,
        seen: &mut HashSet<(usize, Vec<Phase>, M)>,
    ) -> bool {
        if !seen.insert((at, phases.to_vec(), model.clone())) {
            return false;
        }
        let mut with = |id: usize, phase, at, model: &M| {
            let mut phases = phases.to_vec();
            phases[id] = phase;
            self.explains(at, &phases, model, seen)
        };
        match self.events.get(at) {
            None => return true,
            Some(&Event::Call(id)) => {
                if with(id, Phase::Called, at + 1, model) {
                    return true;
                }
            }
            Some(&Event::Return(id)) if phases[id] == Phase::Ended => {
                // Nothing is gained by waiting.
                return with(id, Phase::Absent, at + 1, model);
            }
            Some(Event::Return(_)) => (),
        }
        for (id, phase) in phases.iter().enumerate() {
            let mut model = model.clone();
            let next = match phase {
                Phase::Absent | Phase::Ended => continue,
                Phase::Called => {
                    model.begin(id, &self.operations[id]);
                    Phase::Begun
                }
                Phase::Begun => {
                    if !model.end(id, &self.operations[id], self.is_alone(id)) {
                        continue;
                    }
                    Phase::Ended
                }
            };
            if with(id, next, at, &model) {
                return true;
            }
        }
        false
    }

    fn is_alone(&self, id: usize) -> bool {
        let place = |event| self.events.iter().position(|other| *other == event).unwrap();
        let (call, end) = (place(Event::Call(id)), place(Event::Return(id)));
        (0..self.operations.len())
            .filter(|other| *other != id)
            .all(|other| place(Event::Return(other)) < call || end < place(Event::Call(other)))
    }
}
