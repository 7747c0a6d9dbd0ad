//! The door and the gates: whoever enters, calls or attaches, a stop and a trim touch no stack that is in use.

use crate::base::status::*;
use crate::lifecycle::{attach, attached, begin, call, look, start, stop, trim};
use crate::{gmp, host, model};

#[test]
fn a_stop_waits_for_a_callback_and_turns_the_next_away() {
    model(Some(3), || {
        begin(1);
        let m = attached(2);
        let caller = host(2, move || {
            gmp::be_on(Some(m));
            for _ in 0..2 {
                let ended = call(m, || m.run_nested());
                assert!(matches!(ended, Ok(()) | Err(WHARF_STOPPED)));
            }
        });
        assert!(stop(i64::MAX).is_ok());
        caller.join().unwrap();
        assert_eq!(call(m, || {}), Err(WHARF_STOPPED));
    });
}

#[test]
fn a_stop_waits_for_who_attaches() {
    model(Some(4), || {
        begin(1);
        let entrant = host(2, || match attach() {
            Ok(m) => drop(call(m, || {})),
            Err(status) => assert_eq!(status, WHARF_STOPPED),
        });
        assert!(stop(i64::MAX).is_ok());
        entrant.join().unwrap();
    });
}

#[test]
fn a_stop_that_gives_up_leaves_all_open() {
    model(Some(4), || {
        begin(1);
        let m = attached(2);
        let caller = host(2, move || {
            gmp::be_on(Some(m));
            let ended = call(m, || m.run_nested());
            assert!(matches!(ended, Ok(()) | Err(WHARF_STOPPED)));
        });
        let stopped = stop(-1);
        caller.join().unwrap();
        assert_eq!(call(m, || {}), stopped.map_or(Ok(()), |()| Err(WHARF_STOPPED)));
    });
}

#[test]
fn calls_go_on_after_a_new_start() {
    model(Some(4), || {
        begin(1);
        let m = attached(2);
        let caller = host(2, move || {
            gmp::be_on(Some(m));
            let ended = call(m, || {});
            assert!(matches!(ended, Ok(()) | Err(WHARF_STOPPED)));
        });
        assert!(stop(i64::MAX).is_ok());
        start(1);
        caller.join().unwrap();
        assert!(call(m, || {}).is_ok());
    });
}

#[test]
fn a_trim_touches_no_stack_in_use() {
    model(Some(4), || {
        begin(1);
        let m = attached(2);
        let caller = host(2, move || {
            gmp::be_on(Some(m));
            assert!(call(m, || m.run_nested()).is_ok());
            assert!(call(m, || {}).is_ok());
        });
        assert!(trim().is_ok());
        caller.join().unwrap();
        assert!(call(m, || {}).is_ok());
    });
}

#[test]
fn a_stop_takes_nothing_from_who_looks() {
    model(Some(4), || {
        begin(1);
        let looker = host(2, || {
            look();
            look();
        });
        assert!(stop(i64::MAX).is_ok());
        looker.join().unwrap();
    });
}
