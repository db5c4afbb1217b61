use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::{OwnedRwLockWriteGuard, RwLock, RwLockWriteGuard};

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn readers_share_and_writers_do_not() {
    as_thread_and_fiber(|| {
        let lock = RwLock::new(1);
        let readers = (lock.read(), lock.try_read().unwrap());
        assert_eq!(*readers.0 + *readers.1, 2);
        let begin = Instant::now();
        assert!(lock.try_write().is_none() && lock.write_timeout(SOON).is_none());
        assert!(lock.write_deadline(begin + 2 * SOON).is_none());
        assert!(begin.elapsed() >= 2 * SOON);
        drop(readers);
        let mut writer = lock.write_deadline(begin).unwrap();
        *writer += 1;
        assert!(lock.try_write().is_none() && lock.try_read().is_none());
        assert!(lock.read_timeout(SOON).is_none() && lock.read_deadline(begin).is_none());
        drop(writer);
        assert_eq!(*lock.read_timeout(SOON).unwrap(), 2);
    });
}

#[test]
fn what_writers_do_is_seen_by_all() {
    let rounds = if cfg!(rustfiber_tsan) { 100 } else { 2_000 };
    // Two numbers that only a half-seen write could tell apart.
    let lock = RwLock::new((0, 0));
    let write = |value: &mut (usize, usize)| {
        value.0 += 1;
        value.1 += 1;
    };
    let check = |value: &(usize, usize)| assert_eq!(value.0, value.1);
    let by_blocking = || {
        for _ in 0..rounds {
            write(&mut lock.write());
            check(&lock.read());
        }
    };
    thread::scope(|s| {
        s.spawn(by_blocking);
        s.spawn(|| as_fiber(by_blocking));
        s.spawn(|| {
            block_on(async {
                for _ in 0..rounds {
                    check(&*lock.read_async().await);
                    write(&mut *lock.write_async().await);
                }
            });
        });
    });
    assert_eq!(lock.into_inner(), (3 * rounds, 3 * rounds));
}

#[test]
fn a_writer_is_not_starved_by_readers() {
    let lock = RwLock::new(0);
    let reader = lock.read();
    let mut writer = Task::waiting(lock.write_async());
    // Behind the writer.
    assert!(lock.try_read().is_none());
    let mut late = [(); 2].map(|()| Task::waiting(lock.read_async()));
    drop(reader);
    let guard = writer.poll().unwrap();
    assert!(late.iter_mut().all(|reader| reader.poll().is_none()));
    drop(guard);
    // Both at once.
    let readers = late.each_mut().map(|reader| reader.poll().unwrap());
    assert!(lock.try_write().is_none());
    drop(readers);
    assert!(lock.try_write().is_some());
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_go() {
    let lock = RwLock::new(0);
    let reader = lock.read();
    let writer = Task::waiting(lock.write_async());
    let mut late = Task::waiting(lock.read_async());
    drop(writer);
    assert!(late.poll().is_some());
    drop(reader);
    // Granted, and dropped.
    let guard = lock.write();
    let writer = Task::waiting(lock.write_async());
    let mut late = Task::waiting(lock.read_async());
    drop(guard);
    assert!(late.poll().is_none());
    drop(writer);
    drop(late.poll().unwrap());
    assert!(lock.try_write().is_some());
}

#[test]
fn a_writer_that_goes_on_as_a_reader_lets_no_writer_in_between() {
    let lock = Arc::new(RwLock::new(0));
    for owned in [false, true] {
        let mut task = Task::new(lock.write_async());
        let mut reader = Task::new(lock.read_async());
        let check = |task: &mut Task<'_, RwLockWriteGuard<'_, i32>>| {
            assert!(task.poll().is_none() && lock.try_write().is_none());
        };
        if owned {
            let guard = OwnedRwLockWriteGuard::downgrade(Arc::clone(&lock).write_owned());
            drop(reader.poll().unwrap());
            check(&mut task);
            drop(guard);
        } else {
            let guard = RwLockWriteGuard::downgrade(lock.write());
            drop(reader.poll().unwrap());
            check(&mut task);
            drop(guard);
        }
        drop(task.poll().unwrap());
        drop((task, reader));
        assert!(lock.try_write().is_some());
        assert_eq!(Arc::strong_count(&lock), 1);
    }
}

#[test]
fn owned_guards_keep_the_lock_alive() {
    let lock = Arc::new(RwLock::new(1));
    let readers = (Arc::clone(&lock).read_owned(), block_on(Arc::clone(&lock).read_owned_async()));
    assert_eq!((*readers.0, *readers.1, Arc::strong_count(&lock)), (1, 1, 3));
    drop(readers);
    let mut writer = block_on(Arc::clone(&lock).write_owned_async());
    drop(lock);
    *writer = 2;
    assert_eq!(*OwnedRwLockWriteGuard::downgrade(writer), 2);
}

#[test]
fn a_holder_that_panics_unlocks_and_poisons_nothing() {
    let lock = RwLock::new(0);
    for _ in 0..2 {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            *lock.write() += 1;
            let _guard = lock.read();
            panic!("holding the lock");
        }));
        assert!(panicked.is_err());
    }
    assert_eq!(*lock.write(), 2);
}

#[test]
fn debug_shows_the_value_if_it_may() {
    let mut lock = RwLock::from(1);
    *lock.get_mut() = 2;
    let guard = lock.read();
    assert_eq!(format!("{guard:?} {guard} {lock:?}"), "2 2 RwLock { value: 2 }");
    drop(guard);
    let guard = lock.write();
    assert_eq!(format!("{guard:?} {guard} {lock:?}"), "2 2 RwLock { value: <locked> }");
    assert_eq!(RwLock::<u8>::default().into_inner(), 0);
}
