//! A plugin in Rust: callbacks for a host in C, which do what the host's scenarios ask for.

mod floor;
mod selftest;

use std::ffi::{c_char, c_int, c_long, c_void};
use std::panic::catch_unwind;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use wharf::{Error, PanicInfo};

/// How many of them have been dropped.
static DROPPED: AtomicI32 = AtomicI32::new(0);
/// Of those, how many saw a panic of Rust's go on.
static PANICKING: AtomicI32 = AtomicI32::new(0);

/// Stands for whatever a callback holds.
struct Held;

impl Drop for Held {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        PANICKING.fetch_add(std::thread::panicking().into(), Ordering::Relaxed);
    }
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("out of a destructor");
    }
}

/// A function of the host's, or of another plugin's, and what it wants.
#[repr(C)]
pub struct Task {
    f: wharf::RawFn,
    arg: *mut c_void,
}

impl Task {
    fn run(&self) {
        // SAFETY: the host's word.
        unsafe { (self.f)(self.arg) }
    }
}

#[inline(never)]
fn boom(number: c_long) {
    panic!("BOOM {number}");
}

/// Writes a text for the host.
unsafe fn tell(text: &str, out: *mut c_char, bytes: usize) {
    let len = text.len().min(bytes - 1);
    // SAFETY: the host's word: so many bytes are writable.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), len);
        *out.add(len) = 0;
    }
}

fn ended(how: Error) -> String {
    match how {
        Error::Panicked(info) if info.is_cut() => format!("panicked, cut: {}", info.message()),
        Error::Panicked(info) => format!("panicked: {}", info.message()),
        Error::Recovered => "recovered".to_string(),
        Error::Canceled => "canceled".to_string(),
        other => other.to_string(),
    }
}

wharf::export! {
    /// Panics.
    pub fn plugin_panic(arg: *mut c_void) {
        let _held = Held;
        boom(arg as c_long);
    }

    /// Panics with nothing to drop and nothing to format.
    pub fn plugin_boom(_arg: *mut c_void) {
        panic!("BOOM");
    }

    /// Panics, and catches it by itself.
    pub fn plugin_catch(_arg: *mut c_void) {
        let _ = catch_unwind(|| panic!("BOOM"));
    }

    /// Calls a function, and catches Rust panics by itself: none of wharf's.
    pub unsafe fn plugin_catch_of(task: *const Task) {
        // SAFETY: the host's word.
        let _ = catch_unwind(|| unsafe { &*task }.run());
    }

    /// Calls a function while it holds something.
    pub unsafe fn plugin_pass(task: *const Task) {
        let _held = Held;
        // SAFETY: the host's word.
        unsafe { &*task }.run();
    }

    /// Calls a function, and tells how it ended.
    pub unsafe fn plugin_try(task: *const Task, out: *mut c_char, bytes: usize) {
        // SAFETY: the host's word.
        let task = unsafe { &*task };
        let told = match wharf::try_call(|| task.run()) {
            Ok(()) => "returned".to_string(),
            Err(how) => ended(how),
        };
        // SAFETY: the host's word.
        unsafe { tell(&told, out, bytes) };
    }

    /// Panics in a deferred call.
    pub fn plugin_panic_deferred(arg: *mut c_void) {
        let number = arg as c_long;
        wharf::defer(move || boom(number + 1)).expect("inside a callback");
        boom(number);
    }

    /// Panics, and recovers.
    pub fn plugin_recover(arg: *mut c_void) {
        let _held = Held;
        wharf::defer(|| {
            let info: Option<PanicInfo> = wharf::recover();
            assert!(info.is_some_and(|info| info.message().starts_with("BOOM")));
        })
        .expect("inside a callback");
        boom(arg as c_long);
    }

    /// Panics in a destructor while a panic goes on.
    pub fn plugin_panic_in_drop(_arg: *mut c_void) {
        let _bomb = PanicsOnDrop;
        panic!("BOOM");
    }

    /// Panics by way of a C function that has no export in between.
    pub unsafe fn plugin_panic_through(by: extern "C" fn(wharf::RawFn, *mut c_void)) {
        unsafe extern "C-unwind" fn plain(_: *mut c_void) {
            panic!("BOOM");
        }
        by(plain, ptr::null_mut());
    }

    /// What Rust sees of it all. The number of checks.
    pub fn plugin_selftest() -> c_int {
        selftest::all()
    }

    /// The host hands its table over.
    pub unsafe fn plugin_init(api: *const wharf::Api) -> c_int {
        // SAFETY: the host's word.
        unsafe { wharf::init(api) }.map_or(-1, |()| 0)
    }

    /// How many held things have been dropped since the last time, and how many saw a panic of Rust's.
    pub fn plugin_dropped() -> c_int {
        DROPPED.swap(0, Ordering::Relaxed) * 100 + PANICKING.swap(0, Ordering::Relaxed)
    }

    /// Whether std believes that a panic goes on.
    pub fn plugin_is_panicking() -> c_int {
        std::thread::panicking().into()
    }
}
