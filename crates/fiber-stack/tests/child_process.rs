//! What can only be seen in a process of its own: refused memory, a used-up budget, deaths.
//!
//! Every test runs this same executable again, for itself only and with `CHILD` set, and looks at
//! how that ends.
#![cfg(unix)]

use std::cell::Cell;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::{env, hint};

use fiber_stack::{Fiber, Stack, StackSize, Suspender};

const CHILD: &str = "FIBER_STACK_TEST_CHILD";

/// What a child prints when it reached its end, so that a filter that matched no test shows.
const REACHED_THE_END: &str = "the child reached its end";

fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Runs the test called `name`, and it alone, in a child process.
fn run_child(name: &str) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap()
}

fn describe(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn assert_child_succeeds(name: &str) {
    let output = run_child(name);
    let description = describe(&output);
    assert!(output.status.success() && description.contains(REACHED_THE_END), "{description}");
}

fn minimum_size() -> StackSize {
    StackSize::new(StackSize::MIN_BYTES).unwrap()
}

/// Lets this process have `extra_bytes` more address space than it has now.
#[cfg(all(target_os = "linux", not(any(feature = "sanitizer", rustfiber_tsan))))]
fn limit_address_space(extra_bytes: usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: `sysconf` takes a plain number and touches no memory of ours.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let bytes = (pages * page_bytes + extra_bytes) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: `limit` is a valid structure that lives throughout the call.
    let answer = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
    assert_eq!(answer, 0);
}

// Not under a sanitizer, whose own mappings the limit would refuse.
#[test]
#[cfg(all(target_os = "linux", not(any(feature = "sanitizer", rustfiber_tsan))))]
fn refused_mapping_is_an_error_that_keeps_the_systems_reason() {
    use std::error::Error;
    use std::io;

    if !is_child() {
        let name = "refused_mapping_is_an_error_that_keeps_the_systems_reason";
        return assert_child_succeeds(name);
    }
    let live: Vec<_> = (0..3).map(|_| Stack::new(minimum_size()).unwrap()).collect();
    let live_bytes: usize = live.iter().map(|stack| stack.size().bytes()).sum();
    limit_address_space(64 << 20);
    let error = Stack::new(StackSize::new(StackSize::MAX_BYTES).unwrap()).unwrap_err();

    assert_eq!(error.kind(), fiber_stack::StackErrorKind::Refused);
    assert_eq!(
        error.to_string(),
        format!(
            "the system refused a stack of 1073741824 bytes while 3 stacks ({live_bytes} bytes) \
             are live: raise RLIMIT_AS (ulimit -v), vm.max_map_count or the memory limit, ask for \
             smaller stacks, or let fewer fibers wait at once"
        )
    );
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.raw_os_error(), Some(libc::ENOMEM));

    // A refusal counts nothing, and what fits is still given.
    assert_eq!(fiber_stack::live_stack_count(), 3);
    drop(Stack::new(minimum_size()).unwrap());
    println!("{REACHED_THE_END}");
}

// Not under ThreadSanitizer, which itself takes some of the mappings for each stack.
#[test]
#[cfg(all(target_os = "linux", not(rustfiber_tsan)))]
fn stacks_end_at_the_budget_and_the_process_goes_on() {
    // With more mappings than this the test would map for minutes; the arithmetic has its own test.
    const FEASIBLE_COUNT: usize = 100_000;

    if !is_child() {
        return assert_child_succeeds("stacks_end_at_the_budget_and_the_process_goes_on");
    }
    let limit = fiber_stack::stack_limit().unwrap();
    if limit > FEASIBLE_COUNT {
        println!("not tried: {limit} stacks; {REACHED_THE_END}");
        return;
    }
    let mut stacks = Vec::with_capacity(limit);
    let error = loop {
        match Stack::new(minimum_size()) {
            Ok(stack) => stacks.push(stack),
            Err(error) => break error,
        }
    };
    assert_eq!(stacks.len(), limit);
    let max_map_count = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    assert_eq!(error.kind(), fiber_stack::StackErrorKind::ProcessLimit);
    assert_eq!(
        error.to_string(),
        format!(
            "the process already has all of the {limit} stacks that vm.max_map_count = {} leaves \
             room for: raise it (sysctl -w vm.max_map_count=N), or let fewer fibers wait at once",
            max_map_count.trim()
        )
    );

    // Large blocks take a mapping each, and a thread takes two.
    let blocks: Vec<_> = (0..500).map(|number| vec![number as u8; 1 << 20]).collect();
    assert!(blocks.iter().enumerate().all(|(number, block)| block[77] == number as u8));
    std::thread::spawn(|| vec![1_u8; 4 << 20].len()).join().unwrap();

    drop(stacks.pop());
    stacks.push(Stack::new(minimum_size()).unwrap());
    assert!(Stack::new(minimum_size()).is_err());
    assert_eq!(fiber_stack::live_stack_count(), limit);
    println!("{REACHED_THE_END}");
}

#[test]
fn stack_overflow_dies_at_the_guard_page() {
    #[expect(unconditional_recursion, reason = "overflowing the stack is the purpose")]
    fn recurse(depth: u64) -> u64 {
        let frame = Cell::new([depth; 16]);
        hint::black_box(&frame);
        recurse(depth + 1) + hint::black_box(&frame).get()[3]
    }

    if is_child() {
        let stack = Stack::new(minimum_size()).unwrap();
        let mut fiber = Fiber::new(stack, |_: &Suspender<(), ()>, ()| recurse(0));
        drop(fiber.resume(()));
        println!("{REACHED_THE_END}");
        return;
    }
    let output = run_child("stack_overflow_dies_at_the_guard_page");
    let description = describe(&output);
    assert!(!description.contains(REACHED_THE_END), "{description}");
    if cfg!(feature = "sanitizer") {
        assert!(description.contains("AddressSanitizer: stack-overflow"), "{description}");
    } else {
        let signal = output.status.signal();
        assert!(matches!(signal, Some(libc::SIGSEGV | libc::SIGBUS)), "{description}");
    }
}

/// An overflow alone does not show this: what lies below a guard page is often unmapped as well.
#[test]
fn byte_below_a_stack_cannot_be_written() {
    if is_child() {
        let stack = Stack::new(minimum_size()).unwrap();
        let below = std::ptr::with_exposed_provenance_mut::<u8>(stack.range().lowest() - 1);
        // SAFETY: not sound if there is no guard page: the fault is the purpose.
        unsafe { below.write_volatile(1) };
        println!("{REACHED_THE_END}");
        return;
    }
    let output = run_child("byte_below_a_stack_cannot_be_written");
    let description = describe(&output);
    assert!(!description.contains(REACHED_THE_END), "{description}");
    if cfg!(feature = "sanitizer") {
        assert!(description.contains("AddressSanitizer: SEGV"), "{description}");
    } else if cfg!(rustfiber_tsan) {
        assert!(description.contains("ThreadSanitizer: SEGV"), "{description}");
    } else {
        let signal = output.status.signal();
        assert!(matches!(signal, Some(libc::SIGSEGV | libc::SIGBUS)), "{description}");
    }
}

#[test]
fn suspending_during_a_panic_aborts_with_a_message() {
    struct SuspendOnDrop<'a>(&'a Suspender<(), ()>);

    impl Drop for SuspendOnDrop<'_> {
        fn drop(&mut self) {
            self.0.suspend(());
        }
    }

    if is_child() {
        let stack = Stack::new(StackSize::default()).unwrap();
        let mut fiber = Fiber::new(stack, |suspender: &Suspender<(), ()>, ()| {
            let _guard = SuspendOnDrop(suspender);
            panic!("on purpose");
        });
        let _: fiber_stack::Resumed<(), ()> = fiber.resume(());
        println!("{REACHED_THE_END}");
        return;
    }
    let output = run_child("suspending_during_a_panic_aborts_with_a_message");
    let description = describe(&output);
    assert!(!description.contains(REACHED_THE_END), "{description}");
    assert!(description.contains("a fiber was suspended while its thread was panicking"));
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{description}");
}

#[test]
fn dropping_an_unfinished_fiber_during_a_panic_reports_the_leak() {
    if is_child() {
        let stack = Stack::new(StackSize::default()).unwrap();
        let mut fiber = Fiber::new(stack, |suspender: &Suspender<(), ()>, ()| {
            suspender.suspend(());
        });
        assert!(matches!(fiber.resume(()), fiber_stack::Resumed::Suspended(())));
        panic!("the first panic");
    }
    let output = run_child("dropping_an_unfinished_fiber_during_a_panic_reports_the_leak");
    let description = describe(&output);
    assert_eq!(output.status.code(), Some(101), "{description}");
    assert!(description.contains("the first panic"), "{description}");
    let leak = "fiber-stack: a fiber was dropped before it finished; \
                its stack of 1048576 bytes is leaked";
    assert!(description.contains(leak), "{description}");
}

#[test]
fn smallest_stack_can_print_a_panic_with_a_backtrace() {
    if is_child() {
        let stack = Stack::new(minimum_size()).unwrap();
        let mut fiber = Fiber::new(stack, |_: &Suspender<(), ()>, ()| panic!("on purpose"));
        let resumed: fiber_stack::Resumed<(), ()> = fiber.resume(());
        assert!(matches!(resumed, fiber_stack::Resumed::Finished(Err(_))));
        println!("{REACHED_THE_END}");
        return;
    }
    let name = "smallest_stack_can_print_a_panic_with_a_backtrace";
    assert_child_succeeds(name);
}
