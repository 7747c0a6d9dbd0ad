//! Start, stop, trim: the states that ARCHITECTURE.md tables, and the rare side of the gate.

mod door;
mod fork;
mod gates;
mod trim;

pub(crate) use gates::{at_closed_gate, wait_for_trim};
pub(crate) use trim::trim;

use door::{Door, FRESH, RUNNING, STARTING, STOPPED, STOPPING};

use crate::base::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::base::status::*;
use crate::base::{Held, Lock, Refused, Status};
use crate::stack::Geometry;
use crate::{arch, gmp, panic, report, signal, sys};

/// What a start may ask for; 0 takes what is in force, or the default.
#[derive(Clone, Copy, Default)]
pub(crate) struct Config<'a> {
    pub(crate) max_threads: u32,
    pub(crate) stack_bytes: usize,
    pub(crate) guard_bytes: usize,
    pub(crate) trace_depth: i32,
    pub(crate) signals: u32,
    pub(crate) fault_policy: u32,
    pub(crate) report: report::Settings<'a>,
}

/// `wharf_config.signals`: no handler is installed.
pub const WHARF_SIGNALS_NONE: u32 = 1;
/// `wharf_config.signals`: handlers for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT.
pub const WHARF_SIGNALS_FAULTS: u32 = 2;
/// `wharf_config.fault_policy`: the process dies.
pub const WHARF_FAULTS_DIE: u32 = 1;
/// `wharf_config.fault_policy`: a `wharf_try` gets them.
pub const WHARF_FAULTS_PANIC: u32 = 2;

const DEFAULT_STACK_BYTES: usize = if cfg!(target_pointer_width = "64") { 8 << 20 } else { 256 << 10 };
const DEFAULT_GUARD_BYTES: usize = 64 << 10;

static DOOR: Door = Door::new();

/// What start makes and stop undoes.
struct Runtime {
    starts: u32,
    /// Whether an exit of the process will be told.
    launched: bool,
    own: Option<sys::SelfReference>,
    hook: Option<panic::Hook>,
}

/// Held by start, stop and trim.
static LOCK: Lock<Runtime> = Lock::new(Runtime { starts: 0, launched: false, own: None, hook: None });

/// The fields of the configuration, by their names in C; then come those of the report.
const FIELDS: [&str; 6] =
    ["max_threads", "callback_stack_bytes", "guard_bytes", "trace_depth", "signals", "fault_policy"];
/// The one that the last refused start could not change, for `wharf_dump`; [`NONE`] if there is none.
static REFUSED: AtomicUsize = AtomicUsize::new(NONE);
const NONE: usize = usize::MAX;

/// Whether callbacks are possible now.
pub(crate) fn running() -> bool {
    fork::look_once();
    DOOR.state() == RUNNING
}

/// Whether nothing has started yet what was loaded.
pub(crate) fn is_fresh() -> bool {
    DOOR.state() == FRESH
}

/// The name of the state, and of the field that a start was refused for.
pub(crate) fn state() -> (&'static str, Option<&'static str>) {
    let name = match DOOR.state() {
        FRESH => "fresh",
        RUNNING => "running",
        STARTING => "starting",
        STOPPING => "stopping",
        _ => "stopped",
    };
    (name, FIELDS.iter().chain(&report::FIELDS).nth(REFUSED.load(Ordering::Relaxed)).copied())
}

/// An explicit start: counts.
pub(crate) fn start(config: Config<'_>) -> Result<(), Status> {
    fork::watch();
    let mut runtime = lock()?;
    if fork::left_a_stop() {
        take_away(&mut runtime);
    }
    if running() {
        if let Some(field) = conflict(&config, runtime.starts) {
            REFUSED.store(field, Ordering::Relaxed);
            return Err(WHARF_ESTATE);
        }
        if config.trace_depth != 0 {
            panic::set_trace_depth(config.trace_depth);
        }
        if runtime.starts == 0 {
            stand_ready(&config);
        }
    } else {
        // Before the state is told: the first callback may fault.
        launch(&config, &mut runtime, stand_ready)?;
    }
    // There is one already if a fork has met another thread's start or stop.
    if runtime.starts == 0 && runtime.own.is_none() {
        // From here on `dlclose` unloads nothing. Not at a lazy start, and not before the state is told:
        // a first call may not wait for the loader's lock. Without it the runtime runs as after such a call.
        runtime.own = sys::self_reference(start as *const _).map_err(|()| {
            signal::uninstall();
            report::forget();
            WHARF_ENOMEM
        })?;
    }
    runtime.starts += 1;
    Ok(())
}

/// For reports and faults, as an explicit start wants it.
fn stand_ready(config: &Config<'_>) {
    report::set_upstairs(&UPSTAIRS);
    config.report.set();
    if config.signals != WHARF_SIGNALS_NONE {
        signal::install(config.fault_policy == WHARF_FAULTS_PANIC, fork::look_once);
    }
}

/// The start that a first call makes: defaults, and no count. In a signal handler only the look at a
/// runtime that runs is free of locks: the start itself takes libc's and std's.
pub(crate) fn start_lazily() -> Result<(), Status> {
    const LOOK_NS: i64 = 100_000_000;
    fork::watch();
    loop {
        // A handler may have forked while we waited.
        fork::look_once();
        let state = DOOR.state();
        match state {
            RUNNING => return Ok(()),
            FRESH => match LOCK.take(0) {
                Ok(mut runtime) if DOOR.state() == FRESH => {
                    return launch(&Config::default(), &mut runtime, |_| {});
                }
                // A handler that interrupts the start on this very thread cannot wait for it.
                Err(Refused::Mine) => return Err(WHARF_ELIMIT),
                Ok(_) | Err(Refused::Late) => {}
            },
            STARTING if LOCK.is_mine() => return Err(WHARF_ELIMIT),
            STARTING => {}
            _ => return Err(WHARF_STOPPED),
        }
        // On the state and not on the lock, so that a storm of first calls is let go at once.
        DOOR.wait(state, LOOK_NS);
    }
}

/// The lock, but not while a stop holds it: that may wait for the very callback that asks.
fn lock() -> Result<Held<'static, Runtime>, Status> {
    const LOOK_NS: i64 = 1_000_000;
    loop {
        // Each time: a handler may have forked while we waited.
        fork::look();
        match LOCK.take(sys::now_ns() + LOOK_NS) {
            Ok(held) => return Ok(held),
            Err(Refused::Mine) => return Err(WHARF_ESTATE),
            Err(Refused::Late) if DOOR.state() == STOPPING => return Err(WHARF_STOPPED),
            Err(Refused::Late) => {}
        }
    }
}

fn refused(why: Refused) -> Status {
    match why {
        Refused::Mine => WHARF_ESTATE,
        Refused::Late => WHARF_TIMEOUT,
    }
}

/// The first of [`FIELDS`] that a running runtime cannot change to what `config` asks for.
fn conflict(config: &Config<'_>, starts: u32) -> Option<usize> {
    let Geometry { stack_bytes, guard_bytes } = gmp::STACKS.geometry();
    // Until somebody has asked for them, they can change, and so can what is asked of reports.
    let either = |is_so: bool, so: u32, not: u32| if is_so { so } else { not };
    let (depth, signals, fault_policy) = match starts {
        0 => (config.trace_depth, config.signals, config.fault_policy),
        _ => (
            panic::trace_depth(),
            either(signal::installed(), WHARF_SIGNALS_FAULTS, WHARF_SIGNALS_NONE),
            either(signal::faults_panic(), WHARF_FAULTS_PANIC, WHARF_FAULTS_DIE),
        ),
    };
    let asked = [
        config.max_threads as usize,
        config.stack_bytes,
        config.guard_bytes,
        config.trace_depth as usize,
        config.signals as usize,
        config.fault_policy as usize,
    ];
    let now = [
        gmp::max_threads() as usize,
        stack_bytes,
        guard_bytes,
        depth as usize,
        signals as usize,
        fault_policy as usize,
    ];
    let changed = (0..FIELDS.len()).find(|&field| asked[field] != 0 && asked[field] != now[field]);
    changed.or_else(|| Some(FIELDS.len() + config.report.conflict().filter(|_| starts > 0)?))
}

/// What a report asks of us.
static UPSTAIRS: report::Upstairs = report::Upstairs {
    holding: |look| {
        let _ = entering(|| {
            look();
            Ok(())
        });
    },
};

/// Makes the runtime run; `also` is done before anybody is let in.
fn launch(config: &Config<'_>, runtime: &mut Runtime, also: impl FnOnce(&Config<'_>)) -> Result<(), Status> {
    let before = DOOR.state();
    DOOR.set(STARTING);
    let launched = prepare(config, runtime);
    if launched.is_ok() {
        also(config);
    }
    DOOR.set(if launched.is_ok() { RUNNING } else { before });
    DOOR.wake();
    launched
}

fn prepare(config: &Config<'_>, runtime: &mut Runtime) -> Result<(), Status> {
    // Reading its address keeps the finaliser in the library.
    core::hint::black_box(&raw const AT_UNLOAD);
    let or = |asked: usize, default: usize| if asked == 0 { default } else { asked };
    arch::tls_settle();
    // What must succeed goes first: a start that fails leaves nothing behind.
    if !runtime.launched {
        runtime.launched = sys::call_at_exit(note_exit) && sys::note_forks();
    }
    if !runtime.launched {
        return Err(WHARF_ENOMEM);
    }
    let max_threads = or(config.max_threads as usize, gmp::MAX_THREADS as usize) as u32;
    gmp::table_create(max_threads).ok_or(WHARF_ENOMEM)?;
    gmp::STACKS.configure(Geometry {
        stack_bytes: or(config.stack_bytes, DEFAULT_STACK_BYTES),
        guard_bytes: or(config.guard_bytes, DEFAULT_GUARD_BYTES),
    });
    panic::set_trace_depth(match config.trace_depth {
        0 => panic::DEFAULT_TRACE_DEPTH,
        depth => depth,
    });
    gmp::exit_key_create();
    gmp::look_for_sanitizers();
    runtime.hook = Some(panic::Hook::install());
    REFUSED.store(NONE, Ordering::Relaxed);
    Ok(())
}

/// Runs `bind` while stop waits for it. `Err` if the runtime does not run. `[sig]`
pub(crate) fn entering<T>(bind: impl FnOnce() -> Result<T, Status>) -> Result<T, Status> {
    fork::look();
    DOOR.entering(bind)
}

/// Runs `look` while no stop takes anything away; not at all if there is nothing to look at. `[sig]`
pub(crate) fn looking(look: impl FnOnce()) {
    fork::look();
    DOOR.looking(look);
}

/// Ends the runtime: no callback is on when it returns `Ok`, and none begins after.
/// Not from inside a callback; the caller has looked.
///
/// What it gives out is the library's reference on itself, to be released when nothing of the
/// library runs any more: by whoever returns to the host.
pub(crate) fn stop(until_ns: i64) -> Result<Option<sys::SelfReference>, Status> {
    fork::look();
    let mut runtime = LOCK.take(until_ns).map_err(refused)?;
    if fork::left_a_stop() {
        take_away(&mut runtime);
        return Ok(runtime.own.take());
    }
    DOOR.must_run()?;
    if runtime.starts > 1 {
        runtime.starts -= 1;
        return Ok(None);
    }
    if !gates::shut(until_ns) {
        return Err(WHARF_TIMEOUT);
    }
    take_away(&mut runtime);
    let own = runtime.own.take();
    DOOR.set(STOPPED);
    DOOR.end_taking();
    Ok(own)
}

/// Undoes what a start has made, but for the library's reference on itself. Where a fork has met it half
/// done, the child does all of it again.
fn take_away(runtime: &mut Runtime) {
    gmp::getm().into_iter().for_each(signal::take_back);
    signal::uninstall();
    // Else a thread whose end nobody has seen would keep the table.
    gmp::sweep();
    gmp::each_m().for_each(gmp::M::disarm);
    // Those of threads that live on stay mapped.
    gmp::each_m().for_each(signal::release);
    gmp::exit_key_delete();
    // SAFETY: every gate is closed and every callback has ended: no stack is in use.
    unsafe { gmp::STACKS.release_all() };
    gmp::table_release();
    runtime.hook.take();
    report::forget();
    runtime.starts = 0;
}

/// Whether handlers of the process's exit have begun to run.
static EXITING: AtomicBool = AtomicBool::new(false);

/// Whether the library's finaliser runs because the process exits, and not for an unloading.
fn is_exit() -> bool {
    let told = EXITING.load(Ordering::Relaxed);
    // A handler of the exit may unload us still. The exit of another namespace's libc tells us nothing.
    if told || !sys::shares_host_libc() { sys::is_finalised_by_exit().unwrap_or(told) } else { false }
}

extern "C" fn note_exit(_: *mut core::ffi::c_void) {
    EXITING.store(true, Ordering::Relaxed);
}

// Runs before the library's exit functions are called off, as finalisers run last to first.
#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".fini_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_term_func,mod_term_funcs"))]
static AT_UNLOAD: extern "C" fn() = at_unload;

/// A library that was started lazily and is unloaded stops first, whatever time that takes: no code
/// is taken from under a callback. At exit everything goes on working.
extern "C" fn at_unload() {
    // From inside a callback there is nothing to wait for: the host breaks its own neck.
    let inside = gmp::getm().is_some_and(|m| !m.gate.quiet());
    if is_exit() {
        return;
    }
    if running() && !inside {
        let _ = stop(i64::MAX);
    }
    gmp::table_abandon();
    fork::unwatch();
}
