//! The Rust face: for plugins that are written in Rust and loaded by a host that has wharf.
//!
//! A plugin is a `cdylib` of its own, with its own std, that talks to the host's libwharf.so over the C
//! ABI; nothing of the runtime is in it. Its `Cargo.toml`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! wharf = { path = "../wharf", default-features = false, features = ["plugin"] }
//! ```
//!
//! # Panics
//!
//! A Rust panic in a function made by [`export!`](crate::export), or in a closure that this crate's
//! functions run, is a panic of wharf's from there on: destructors run, deferred calls run, and a try
//! gets it, be that [`try_call`], `wharf_try` in C, or another plugin's. If there is none, the
//! report is made with all frames standing. What is caught inside by `catch_unwind` is nobody else's.
//!
//! Panics of wharf's, whoever raised them, run the destructors of the Rust frames that they unwind.
//!
//! Not possible, and the end of the process, with a text that says so:
//!
//! * a panic of wharf's that meets a `std::panic::catch_unwind` (or what has one inside:
//!   `std::thread::scope`, a thread's start) on its way to who gets it: "swallowed by catch (...)". It is one
//!   of wharf's if it comes from C, from another plugin, or from a callback further in;
//! * [`goexit`] that meets one;
//! * a Rust panic that meets C frames without having come by a function made by `export!` first: in C
//!   without unwind tables "failed to initiate panic, error 5" (what the panic said is lost then), in an
//!   `extern "C"` function "panic in a function that cannot unwind";
//! * a panic that leaves a destructor that runs because of a panic: "panic in a destructor during
//!   cleanup".
//!
//! Behind a cut (C frames without unwind tables, [`PanicInfo::is_cut`]) no destructor runs: Rust frames
//! further out are left as by `longjmp`. Whoever calls such C functions from Rust, which is `unsafe`,
//! answers for that.
//!
//! The plugin's own panic hook is run outside of these functions only, and what is caught inside is not
//! printed. A hook that is set when the first of them has run already takes the place of the face's:
//! messages then lack the place. On a thread where a `longjmp` or a cut has left such a function, the face
//! goes on believing that it is inside.
//!
//! # Unloading
//!
//! The plugin may be unloaded when none of its functions runs or is deferred any more, and nothing is
//! called by it then; threads that it panicked on may live on. The face keeps neither itself nor
//! libwharf.so loaded.

mod api;
mod error;
mod export;
mod gate;
mod hook;

use std::ffi::c_void;
use std::ptr;

use api::api;
pub use api::{Api, NoLibrary, RawFn, find, init};
pub use error::{Error, PanicInfo};
pub use gate::enter;
use gate::{Payload, enter_keeping};

/// Runs `f` as a callback on a managed stack: `wharf_call`. A panic inside passes on outward.
///
/// # Errors
/// [`Error::Recovered`], [`Error::Canceled`], or a status because of which `f` has not run.
///
/// # Panics
/// If no libwharf.so is loaded; see [`init`].
pub fn call<R>(f: impl FnOnce() -> R) -> Result<R, Error> {
    // SAFETY: the function is good for the argument during the call.
    run(ptr::null_mut(), f, |f, arg| unsafe { (api().call)(f, arg) })
}

/// Runs `f` as a callback that no panic gets past: `wharf_try`. Panics come back as [`Error::Panicked`],
/// whether Rust's or C's, of this plugin or another, as long as no other try is further in.
///
/// What `f` has changed stays changed, as with `std::panic::catch_unwind`.
///
/// ```
/// # fn ask() -> u32 { 42 }
/// # fn main() { let _ = example; }
/// # fn example() {
/// match wharf::try_call(|| ask()) {
///     Ok(answer) => println!("{answer}"),
///     Err(wharf::Error::Panicked(info)) => eprintln!("{info}"),
///     Err(other) => eprintln!("no answer: {other}"),
/// }
/// # }
/// ```
///
/// # Errors
/// Any [`Error`].
///
/// # Panics
/// If no libwharf.so is loaded; see [`init`].
pub fn try_call<R>(f: impl FnOnce() -> R) -> Result<R, Error> {
    let mut info = ptr::null_mut();
    let mut payload: Option<Payload> = None;
    // SAFETY: the function is good for the argument during the call; `info` is writable.
    let done = run(&raw mut payload, f, |f, arg| unsafe { (api().r#try)(f, arg, &raw mut info) });
    // SAFETY: given out, if at all, to us.
    match unsafe { PanicInfo::new(info, payload) } {
        Some(info) => Err(Error::Panicked(info)),
        None => done,
    }
}

/// Runs `f` on the host's own stack: `wharf_on_host`. For what needs a thread's real stack.
///
/// # Panics
/// If no libwharf.so is loaded; see [`init`].
pub fn on_host<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: the function is good for the argument during the call.
    let done = run(ptr::null_mut(), f, |f, arg| unsafe { (api().on_host)(f, arg) });
    done.unwrap_or_else(|why| panic!("wharf_on_host: {why}"))
}

/// Has `f` run when the innermost [`call`], [`try_call`] or callback ends, however it ends: `wharf_defer`.
/// If a `longjmp` leaves that one, `f` never runs, and its memory is lost.
///
/// # Errors
/// A status: outside callbacks, and without memory. `f` is dropped then.
///
/// # Panics
/// If no libwharf.so is loaded; see [`init`].
pub fn defer(f: impl FnOnce() + 'static) -> Result<(), Error> {
    unsafe extern "C-unwind" fn deferred<F: FnOnce()>(f: *mut c_void) {
        // SAFETY: deferred below, called once.
        let f = unsafe { Box::from_raw(f.cast::<F>()) };
        enter(f)
    }
    fn deferred_of<F: FnOnce()>(_: &F) -> RawFn {
        deferred::<F>
    }
    let api = api();
    let run = deferred_of(&f);
    let f = Box::into_raw(Box::new(f));
    // SAFETY: what it takes along is its own.
    match unsafe { (api.defer)(run, f.cast()) } {
        0 => Ok(()),
        status => {
            // SAFETY: nobody else has it.
            drop(unsafe { Box::from_raw(f) });
            Err(Error::of_status(status))
        }
    }
}

/// In a deferred call that runs because of a panic: the panic ends here, and what it was deferred in ends
/// with [`Error::Recovered`]: `wharf_recover`. None where there is nothing to recover.
///
/// # Panics
/// If no libwharf.so is loaded; see [`init`].
pub fn recover() -> Option<PanicInfo> {
    // SAFETY: given out to us.
    unsafe { PanicInfo::new((api().recover)(), None) }
}

/// Ends the innermost [`call`], [`try_call`] or callback with [`Error::Canceled`]: `wharf_goexit`. The frames
/// between are unwound; their destructors run. Outside callbacks it ends the process.
///
/// # Panics
/// If no libwharf.so is loaded; see [`init`].
pub fn goexit() -> ! {
    (api().goexit)()
}

/// A closure as C wants callbacks: a function and its argument. Good as long as the closure is, on any
/// thread that the closure may be used on; calling it when it is not is what makes it unsafe to call.
pub fn raw<F: Fn()>(f: &F) -> (RawFn, *mut c_void) {
    unsafe extern "C-unwind" fn call<F: Fn()>(f: *mut c_void) {
        // SAFETY: by the word of whoever calls it.
        let f = unsafe { &*f.cast::<F>() };
        enter(f)
    }
    (call::<F>, ptr::from_ref(f).cast_mut().cast())
}

/// Has `by` run `f`, behind a gate that gives payloads to `keep`.
fn run<F: FnOnce() -> R, R>(
    keep: *mut Option<Payload>,
    f: F,
    by: impl FnOnce(RawFn, *mut c_void) -> i32,
) -> Result<R, Error> {
    struct Job<F, R> {
        f: Option<F>,
        result: Option<R>,
        keep: *mut Option<Payload>,
    }
    unsafe extern "C-unwind" fn work<F: FnOnce() -> R, R>(job: *mut c_void) {
        // SAFETY: handed over below, which waits.
        let job = unsafe { &mut *job.cast::<Job<F, R>>() };
        if let Some(f) = job.f.take() {
            job.result = Some(enter_keeping(job.keep, f));
        }
    }
    let mut job = Job { f: Some(f), result: None, keep };
    let place = gate::place();
    let status = by(work::<F, R>, (&raw mut job).cast());
    // A panic may have been cut over gates.
    gate::settle(place);
    match (status, job.result) {
        (0, Some(result)) => Ok(result),
        (status, _) => Err(Error::of_status(status)),
    }
}

/// The README's program is compiled as it is printed.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
