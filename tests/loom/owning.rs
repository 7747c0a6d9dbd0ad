//! The owner word of an M: it is one thread's, or one claimer's, whoever comes when.

use crate::lifecycle::{attach, attached, begin, call, start, trim};
use crate::{gmp, host, model, sys};

/// An M whose thread, number 5, is gone: without a word, or detached.
fn leave_behind(detached: bool) {
    let m = attached(5);
    assert!(call(m, || {}).is_ok());
    if detached {
        m.unbind();
    } else {
        sys::set_lives(5, false);
    }
}

fn attach_and_call() -> &'static gmp::M {
    let m = attach().expect("an M");
    assert!(call(m, || {}).is_ok());
    m
}

fn bound() -> Vec<i32> {
    gmp::each_bound().map(|(tid, _)| tid).collect()
}

/// Whether `m` is thread `tid`'s when all is over.
fn still(m: &'static gmp::M, tid: i32) -> bool {
    gmp::sweep();
    gmp::each_bound().any(|(owner, bound)| owner == tid && core::ptr::eq(bound, m))
}

#[test]
fn a_thread_of_the_same_id_keeps_its_m() {
    for detached in [false, true] {
        model(Some(3), move || {
            begin(2);
            leave_behind(detached);
            sys::set_lives(5, false);
            let reborn = host(5, || {
                sys::set_lives(5, true);
                attach_and_call();
            });
            gmp::sweep();
            reborn.join().unwrap();
            gmp::sweep();
            // Where the sweep had the former M in hand while the thread looked for it, there are two.
            assert!(bound() == [5] || bound() == [5, 5]);
            sys::set_lives(5, false);
            gmp::sweep();
            assert!(bound().is_empty());
        });
    }
}

#[test]
fn the_m_of_a_namesake_is_freed() {
    model(None, || {
        begin(2);
        leave_behind(false);
        sys::set_lives(5, true);
        sys::be(5);
        attach_and_call();
        assert_eq!(bound(), [5]);
    });
}

#[test]
fn takers_get_different_ones() {
    model(Some(3), || {
        begin(2);
        leave_behind(true);
        let other = host(2, || _ = attach_and_call());
        sys::be(3);
        let mine = attach_and_call();
        other.join().unwrap();
        assert!(still(mine, 3));
        let mut bound = bound();
        bound.sort_unstable();
        assert_eq!(bound, [2, 3]);
    });
}

#[test]
fn who_detaches_may_attach_again() {
    model(Some(3), || {
        begin(2);
        let again = host(2, || {
            attach_and_call().unbind();
            attach_and_call();
        });
        gmp::sweep();
        again.join().unwrap();
        gmp::sweep();
        assert_eq!(bound(), [2]);
        // The other is in the list.
        sys::be(3);
        attach_and_call();
    });
}

#[test]
fn a_trim_holds_an_m_whose_thread_ends() {
    model(Some(2), || {
        begin(2);
        let m = attached(4);
        let trimmer = host(3, || assert!(trim().is_ok()));
        gmp::be_on(Some(m));
        m.unbind();
        sys::be(2);
        // While a trim has the list in hand, there may be none.
        let _ = attach().map(|m| call(m, || {}));
        trimmer.join().unwrap();
    });
}

#[test]
fn a_trim_holds_an_m_that_is_one_too_many() {
    model(Some(3), || {
        begin(2);
        let ended = attached(4);
        let _lives = attached(5);
        start(1);
        let trimmer = host(3, || assert!(trim().is_ok()));
        gmp::be_on(Some(ended));
        ended.unbind();
        gmp::sweep();
        trimmer.join().unwrap();
    });
}
