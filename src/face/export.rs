//! `export!`.

/// Makes functions that C may call out of Rust functions: for the host, or for wharf.
///
/// ```
/// use std::ffi::{c_int, c_void};
///
/// wharf::export! {
///     /// The host finds it by its name.
///     pub fn on_event(arg: *mut c_void) {
///         assert!(!arg.is_null(), "an event without a subject");
///     }
///
///     /// Only a pointer to it leaves the plugin.
///     fn sum(a: c_int, b: c_int) -> c_int {
///         a + b
///     }
/// }
/// ```
///
/// Each becomes an `extern "C-unwind"` function; one that is `pub` is exported under its own name. A
/// panic inside becomes wharf's: whoever called [`try_call`](crate::try_call) or `wharf_try` further out
/// gets it, or else the process ends with wharf's report, all frames in it.
///
/// Any callback that can panic, or that calls what can, must be made this way, also those that are handed
/// to C functions: a Rust panic does not get past C otherwise.
///
/// In the body, `std::panic::catch_unwind` catches Rust panics of this plugin, as ever, and nothing is
/// printed for those. It must not stand between a wharf panic that comes from another library and who
/// gets it: the process ends then. [`try_call`](crate::try_call) may.
#[macro_export]
macro_rules! export {
    () => {};
    (@ [$($head:tt)*] [$($unsafe:tt)?]
        $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block $($rest:tt)*) => {
        $($head)* $($unsafe)? extern "C-unwind" fn $name($($arg: $ty),*) $(-> $ret)? {
            $crate::__enter(move || $(-> $ret)? { $body })
        }
        $crate::export! { $($rest)* }
    };
    ($(#[$meta:meta])* fn $($rest:tt)*) => {
        $crate::export! { @ [$(#[$meta])*] [] $($rest)* }
    };
    ($(#[$meta:meta])* unsafe fn $($rest:tt)*) => {
        $crate::export! { @ [$(#[$meta])*] [unsafe] $($rest)* }
    };
    ($(#[$meta:meta])* pub fn $($rest:tt)*) => {
        $crate::export! { @ [$(#[$meta])* #[unsafe(no_mangle)] pub] [] $($rest)* }
    };
    ($(#[$meta:meta])* pub unsafe fn $($rest:tt)*) => {
        $crate::export! { @ [$(#[$meta])* #[unsafe(no_mangle)] pub] [unsafe] $($rest)* }
    };
    ($(#[$meta:meta])* pub($($vis:tt)*) $($unsafe:ident)? fn $($rest:tt)*) => {
        $crate::export! { @ [$(#[$meta])* pub($($vis)*)] [$($unsafe)?] $($rest)* }
    };
}
