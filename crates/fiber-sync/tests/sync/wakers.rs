//! Wakers that panic, and wakers that use the very primitive, in every wait of a task: all others
//! are woken, nothing is lost, and the panic is heard where the README says.

mod scenes;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;

use fiber_sync::channel;

use scenes::{CROWD, Scene, Waiting, scenes};

/// When code of a waker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Clone,
    Wake,
    Drop,
}

type Hook = Box<dyn FnOnce()>;

/// What a waker does, once each, beside counting.
#[derive(Default)]
struct Hooks {
    wakes: Cell<usize>,
    hooks: RefCell<Vec<(Moment, Hook)>>,
}

impl Hooks {
    fn at(self: &Rc<Self>, moment: Moment, hook: impl FnOnce() + 'static) {
        self.hooks.borrow_mut().push((moment, Box::new(hook)));
    }

    fn run(&self, moment: Moment) {
        let mut hooks = self.hooks.borrow_mut();
        let index = hooks.iter().position(|(when, _)| *when == moment);
        let hook = index.map(|index| hooks.remove(index));
        drop(hooks);
        if let Some((_, hook)) = hook {
            hook();
        }
    }
}

fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the data of a waker is such a pointer, and the waker has a share in it.
    let hooks = ManuallyDrop::new(unsafe { Rc::from_raw(data.cast::<Hooks>()) });
    hooks.run(Moment::Clone);
    RawWaker::new(Rc::into_raw(Rc::clone(&hooks)).cast(), &VTABLE)
}

fn wake(data: *const ()) {
    // SAFETY: as above; here the share ends.
    let hooks = unsafe { Rc::from_raw(data.cast::<Hooks>()) };
    hooks.wakes.set(hooks.wakes.get() + 1);
    hooks.run(Moment::Wake);
}

fn wake_by_ref(data: *const ()) {
    // SAFETY: as in `clone`.
    unsafe { Rc::increment_strong_count(data.cast::<Hooks>()) };
    wake(data);
}

fn forget(data: *const ()) {
    // SAFETY: as in `wake`.
    unsafe { Rc::from_raw(data.cast::<Hooks>()) }.run(Moment::Drop);
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, forget);

/// Somebody who waits.
struct Waiter {
    future: Cell<Option<Waiting>>,
    hooks: Rc<Hooks>,
}

impl Waiter {
    fn new(scene: &Rc<dyn Scene>) -> Rc<Self> {
        let future = Cell::new(Some(Rc::clone(scene).wait()));
        Rc::new(Waiter { future, hooks: Rc::default() })
    }

    /// One that has begun to wait.
    fn in_line(scene: &Rc<dyn Scene>) -> Rc<Self> {
        let waiter = Waiter::new(scene);
        waiter.poll();
        waiter
    }

    fn poll(&self) {
        self.poll_with(&self.hooks);
    }

    fn poll_with(&self, hooks: &Rc<Hooks>) {
        // SAFETY: the functions agree on the data, of which all stays on this thread.
        let waker = unsafe { Waker::from_raw(RawWaker::new(Rc::as_ptr(hooks).cast(), &VTABLE)) };
        // The share is `hooks`.
        let waker = ManuallyDrop::new(waker);
        let Some(mut future) = self.future.take() else { return };
        if future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
            self.future.set(Some(future));
        }
    }

    fn waits(&self) -> bool {
        let future = self.future.take();
        let waits = future.is_some();
        self.future.set(future);
        waits
    }

    fn give_up(&self) {
        drop(self.future.take());
    }
}

const PANIC: &str = "the waker's panic";

/// Not beside another panic, which would end the process.
fn panic_on_purpose() {
    if !thread::panicking() {
        resume_unwind(Box::new(PANIC));
    }
}

/// Tells whether a waker's panic came out of `f`.
fn hears(f: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => false,
        Err(payload) if <dyn Any>::is::<&str>(&*payload) => {
            assert_eq!(payload.downcast_ref::<&str>(), Some(&PANIC));
            true
        }
        Err(payload) => resume_unwind(payload),
    }
}

/// Polls whoever is woken until nobody is. Returns how many panics were heard.
fn drain(waiters: &[Rc<Waiter>]) -> usize {
    let mut heard = 0;
    while let Some(waiter) =
        waiters.iter().find(|waiter| waiter.hooks.wakes.get() != 0 && waiter.waits())
    {
        waiter.hooks.wakes.set(0);
        heard += usize::from(hears(|| waiter.poll()));
    }
    heard
}

/// Lets everybody go, and checks that they do and that the primitive is whole. Returns how many
/// panics were heard.
fn finish(context: &str, scene: &Rc<dyn Scene>, waiters: &[Rc<Waiter>]) -> usize {
    let heard = usize::from(hears(|| scene.release())) + drain(waiters);
    let asleep = waiters.iter().filter(|waiter| waiter.waits()).count();
    assert_eq!(asleep, 0, "{context}: asleep");
    println!("{context}");
    scene.check();
    heard
}

#[test]
fn a_waker_that_panics_keeps_nobody_asleep_and_loses_nothing() {
    for (name, expected, scene) in scenes() {
        let count = if scene.is_shared() { CROWD } else { 1 };
        let waiters: Vec<_> = (0..count).map(|_| Waiter::in_line(&scene)).collect();
        for index in [0, 3, 17] {
            if let Some(waiter) = waiters.get(index) {
                waiter.hooks.at(Moment::Wake, panic_on_purpose);
            }
        }
        assert_eq!(finish(name, &scene, &waiters), expected, "{name}");
    }
}

/// The first comes, others get in line behind it, and it goes: none of the others is to notice.
fn one_goes(comes: impl Fn(&Rc<dyn Scene>, &Waiter), goes: impl Fn(&Rc<dyn Scene>, &Waiter)) {
    for (name, _, scene) in scenes() {
        let first = Waiter::new(&scene);
        comes(&scene, &first);
        let others = if scene.is_shared() { 3 } else { 0 };
        let others: Vec<_> = (0..others).map(|_| Waiter::in_line(&scene)).collect();
        goes(&scene, &first);
        first.give_up();
        assert_eq!(finish(name, &scene, &others), 0, "{name}");
    }
}

fn nothing(_: &Rc<dyn Scene>, _: &Waiter) {}

fn begins_to_wait(_: &Rc<dyn Scene>, first: &Waiter) {
    first.poll();
    assert!(first.waits());
}

#[test]
fn a_waker_that_panics_when_it_is_cloned_ends_its_wait_alone() {
    let comes = |_: &Rc<dyn Scene>, first: &Waiter| {
        first.hooks.at(Moment::Clone, panic_on_purpose);
        assert!(hears(|| first.poll()));
    };
    one_goes(comes, nothing);
    // In place of another.
    one_goes(begins_to_wait, |_, first| {
        let other = Rc::new(Hooks::default());
        other.at(Moment::Clone, panic_on_purpose);
        assert!(hears(|| first.poll_with(&other)));
    });
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_ends_its_wait_alone() {
    one_goes(begins_to_wait, |_, first| {
        first.hooks.at(Moment::Drop, panic_on_purpose);
        assert!(hears(|| first.give_up()));
    });
    // For another.
    one_goes(begins_to_wait, |_, first| {
        first.hooks.at(Moment::Drop, panic_on_purpose);
        assert!(hears(|| first.poll_with(&Rc::default())));
    });
}

/// The grant comes while the waker is cloned: it is not needed, and is dropped.
#[test]
fn a_waker_that_is_not_needed_and_panics_when_it_is_dropped_loses_no_grant() {
    let polls_in_vain = |scene: &Rc<dyn Scene>, first: &Waiter| {
        let (releases, hooks) = (Rc::clone(scene), Rc::new(Hooks::default()));
        hooks.at(Moment::Clone, move || releases.release());
        hooks.at(Moment::Drop, panic_on_purpose);
        hears(|| first.poll_with(&hooks));
        hears(|| first.give_up());
        assert!(hooks.hooks.borrow().is_empty(), "the waker's code has not run");
    };
    one_goes(polls_in_vain, nothing);
    one_goes(begins_to_wait, polls_in_vain);
}

/// What a waker may do with the primitive of its task.
#[derive(Clone, Copy, Debug)]
enum Use {
    Release,
    Wait,
    DropOther,
}

#[test]
fn a_waker_may_use_the_primitive_whenever_it_runs() {
    for moment in [Moment::Clone, Moment::Wake, Moment::Drop] {
        for use_of in [Use::Release, Use::Wait, Use::DropOther] {
            for (name, _, scene) in scenes() {
                let count = if scene.is_shared() { 4 } else { 1 };
                let waiters: Vec<_> = (0..count).map(|_| Waiter::in_line(&scene)).collect();
                let (shared, other) = (Rc::clone(&scene), waiters.get(1).cloned());
                let hook = move || match use_of {
                    Use::Release => shared.release(),
                    Use::Wait => Waiter::in_line(&shared).give_up(),
                    Use::DropOther => other.iter().for_each(|other| other.give_up()),
                };
                let new = Rc::new(Hooks::default());
                match moment {
                    Moment::Clone => {
                        new.at(moment, hook);
                        waiters[0].poll_with(&new);
                    }
                    Moment::Wake => waiters[0].hooks.at(moment, hook),
                    Moment::Drop => {
                        waiters[0].hooks.at(moment, hook);
                        waiters[0].poll_with(&new);
                    }
                }
                // If it was woken by now, it was by a waker that is not its last.
                waiters[0].poll();
                let context = format!("{name}, {moment:?}, {use_of:?}");
                assert_eq!(finish(&context, &scene, &waiters), 0, "{context}");
                let has_run = |hooks: &Hooks| hooks.hooks.borrow().is_empty();
                assert!(has_run(&new) && has_run(&waiters[0].hooks), "{context}: has not run");
            }
        }
    }
}

#[test]
fn what_nobody_receives_is_dropped_also_if_a_waker_panics() {
    let ((sender, receiver), value) = (channel::bounded(1), Rc::new(()));
    sender.try_send(Rc::clone(&value)).unwrap();
    let hooks = Rc::new(Hooks::default());
    hooks.at(Moment::Wake, panic_on_purpose);
    let waiter = Waiter {
        future: Cell::new(Some(Box::pin(async move {
            assert!(sender.send_async(Rc::default()).await.is_err());
        }))),
        hooks,
    };
    waiter.poll();
    assert!(hears(|| drop(receiver)));
    assert_eq!(Rc::strong_count(&value), 1, "while there is a sender");
    waiter.poll();
    assert!(!waiter.waits());
}
