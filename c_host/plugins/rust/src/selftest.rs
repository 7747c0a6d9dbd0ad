//! What a plugin's author relies on, checked from the inside.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;

use wharf::{Error, PanicInfo, call, defer, goexit, on_host, recover, try_call};

fn panicked<R>(ended: Result<R, Error>) -> PanicInfo {
    match ended {
        Err(Error::Panicked(info)) => info,
        Err(other) => panic!("ended by {other:?}"),
        Ok(_) => panic!("returned"),
    }
}

fn values() {
    let text = String::from("borrowed");
    assert_eq!(try_call(|| text.len()).unwrap(), 8);
    assert_eq!(call(|| vec![text.clone()]).unwrap(), ["borrowed"]);
    assert_eq!(on_host(|| text.as_str()), "borrowed");
    assert!(wharf::find().is_ok());
    let count = Cell::new(0);
    let closure = || count.set(count.get() + 1);
    let (f, arg) = wharf::raw(&closure);
    // SAFETY: the closure is there.
    unsafe { f(arg) };
    assert_eq!(count.get(), 1);
}

fn payloads() {
    let line = line!() + 1;
    let mut info = panicked(try_call(|| panic!("literal")));
    assert_eq!(info.message(), format!("literal (src/selftest.rs:{line}:41)"));
    assert!(!info.is_cut() && !info.trace().is_empty() && info.earlier().next().is_none());
    assert!(info.to_string().starts_with("panic: literal (src/selftest.rs:"), "{info}");
    assert!(info.to_string().contains("payloads"), "{info}");
    assert_eq!(info.take_payload().unwrap().downcast_ref(), Some(&"literal"));

    let number = 7;
    let mut info = panicked(try_call(|| panic!("number {number}")));
    assert!(info.message().starts_with("number 7 ("));
    assert_eq!(info.take_payload().unwrap().downcast_ref(), Some(&"number 7".to_string()));

    let mut info = panicked(try_call(|| panic_any(7_u8)));
    assert!(info.message().starts_with("Box<dyn Any> (src"));
    assert_eq!(info.take_payload().unwrap().downcast_ref(), Some(&7_u8));
    assert!(info.take_payload().is_none());

    // No hook runs: no place.
    let info = panicked(try_call(|| resume_unwind(Box::new("resumed"))));
    assert_eq!(info.message(), "resumed");

    // Through two, with the payload.
    let mut info = panicked(try_call(|| panicked(try_call(|| panic!("twice"))).resume()));
    assert!(info.message().starts_with("twice (src"), "{info:?}");
    assert_eq!(info.take_payload().unwrap().downcast_ref(), Some(&"twice"));

    // From a callback further in.
    let info = panicked(try_call(|| call(|| on_host(|| panic!("deep")))));
    assert!(info.message().starts_with("deep ("));

    let long = "long ".repeat(1000);
    let mut info = panicked(try_call(|| panic!("{long}")));
    assert!(info.message().starts_with(&long[..900]) && info.message().ends_with(")"), "{info}");
    assert_eq!(info.take_payload().unwrap().downcast_ref(), Some(&long));
    let info = panicked(try_call(|| panic!("{}", "\u{2026}".repeat(500))));
    let text = info.message();
    assert!(text.contains("\u{2026} (src") && !text.contains(char::REPLACEMENT_CHARACTER), "{text}");

    // C ends texts by a NUL.
    let info = panicked(try_call(|| panic!("one\0two")));
    assert!(info.message().starts_with("one two (src"), "{info:?}");
}

fn destructors() {
    struct Sees(Rc<RefCell<Vec<bool>>>);
    impl Drop for Sees {
        fn drop(&mut self) {
            self.0.borrow_mut().push(std::thread::panicking());
        }
    }
    let seen = Rc::new(RefCell::new(Vec::new()));
    let ended = try_call(|| {
        let _outer = Sees(seen.clone());
        call(|| {
            let _inner = Sees(seen.clone());
            panic!("now");
        })
    });
    panicked(ended);
    // Std's panic ends at the gate of the closure that it was in.
    assert_eq!(seen.take(), [true, false]);
    assert!(!std::thread::panicking());
    let ended = try_call(|| {
        let _held = Sees(seen.clone());
        goexit()
    });
    assert!(matches!(ended, Err::<(), _>(Error::Canceled)));
    assert_eq!(seen.take(), [false]);
    let mutex = std::sync::Mutex::new(());
    panicked(try_call(|| {
        let _locked = mutex.lock();
        panic!("poison");
    }));
    assert!(mutex.is_poisoned());
}

fn deferred() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let push = |number| {
        let order = order.clone();
        move || order.borrow_mut().push(number)
    };
    try_call(|| {
        defer(push(1)).unwrap();
        defer(push(2)).unwrap();
        push(3)();
    })
    .unwrap();
    assert_eq!(order.take(), [3, 2, 1]);

    let got = Rc::new(RefCell::new(String::new()));
    let give = got.clone();
    let ended = call(move || {
        defer(move || *give.borrow_mut() = recover().unwrap().message().into_owned()).unwrap();
        panic!("recovered");
    });
    assert!(matches!(ended, Err::<(), _>(Error::Recovered)));
    assert!(got.take().starts_with("recovered ("));
    assert!(recover().is_none());

    // One panic takes the place of the other.
    let info = panicked(try_call(|| {
        defer(|| panic!("second")).unwrap();
        panic!("first");
    }));
    assert!(info.message().starts_with("second ("));
    assert!(info.earlier().eq([format!("first (src/selftest.rs:{}:9)", line!() - 3)]), "{info}");
    assert!(!std::thread::panicking());
}

fn caught_inside() {
    let value = try_call(|| {
        let caught = catch_unwind(|| panic!("mine")).unwrap_err();
        assert_eq!(caught.downcast_ref(), Some(&"mine"));
        // What was caught lends nothing to what comes after.
        resume_unwind(Box::new(String::from("other")))
    });
    assert_eq!(panicked::<()>(value).message(), "other");
    let ended = catch_unwind(|| panicked(try_call(|| panic!("once more"))).resume());
    assert_eq!(ended.unwrap_err().downcast_ref(), Some(&"once more"));
}

extern "C" fn nothing(_: *mut c_void) {}

fn statuses() {
    assert!(Error::Canceled.to_string().contains("goexit"));
    assert!(format!("{:?}", panicked(try_call(|| panic!("shown")))).contains("shown"));
    nothing(std::ptr::null_mut());
}

pub fn all() -> c_int {
    let checks = [values, payloads, destructors, deferred, caught_inside, statuses];
    for check in checks {
        check();
    }
    checks.len() as c_int
}
