//! Looking in: the counts, after a sweep, and the dump. Beyond the sweep it only reads what others
//! write, and believes nothing of it for long: everything read is type-stable memory.

use core::fmt::Write;

use crate::base::Printer;
use crate::base::atomic::Ordering;
use crate::gmp::{self, GStack, M, STACKS};
use crate::{lifecycle, sys};

/// How long a dump waits for a slow reader.
const DUMP_NS: i64 = 2_000_000_000;

/// What `wharf_stats` tells.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) threads_made: u32,
    pub(crate) threads_bound: u32,
    pub(crate) threads_spare: u32,
    pub(crate) stacks_made: u32,
    pub(crate) stacks_used: u32,
    pub(crate) calls: u64,
    pub(crate) bytes_reserved: usize,
    pub(crate) bytes_committed: usize,
}

/// Counts, after a sweep. All zero unless the runtime runs.
pub(crate) fn count() -> Count {
    let counted = lifecycle::entering(|| {
        gmp::sweep();
        let mut count = Count::default();
        for m in gmp::each_m() {
            count.threads_made += 1;
            count.calls += m.calls.get();
        }
        count.threads_bound = gmp::each_bound().count() as u32;
        count.threads_spare = count.threads_made - count.threads_bound.min(count.threads_made);
        let (table_reserved, table_resident) = gmp::table_bytes();
        count.bytes_reserved = table_reserved + STACKS.reserved_bytes();
        count.bytes_committed = table_resident + STACKS.resident_head_bytes();
        for slot in STACKS.each() {
            count.stacks_made += 1;
            count.stacks_used += u32::from(slot.busy());
            count.bytes_committed += slot.resident_bytes();
        }
        Ok(count)
    });
    counted.unwrap_or_default()
}

/// Prints the runtime's state and every bound thread. Whether all of it went out. `[sig]`
pub(crate) fn dump(fd: i32) -> bool {
    let mut out = Printer::new(fd, sys::now_ns() + DUMP_NS);
    let (state, refused) = lifecycle::state();
    let _ = writeln!(out, "wharf {}: {state}", env!("CARGO_PKG_VERSION"));
    if let Some(field) = refused {
        let _ = writeln!(out, "start refused: a running runtime cannot change {field}");
    }
    lifecycle::looking(|| {
        let geometry = STACKS.geometry();
        let _ = writeln!(
            out,
            "stacks: {} of {} bytes, guards {} bytes",
            STACKS.each().count(),
            geometry.stack_bytes,
            geometry.guard_bytes
        );
        for (tid, m) in gmp::each_bound() {
            dump_thread(&mut out, tid, m);
        }
    });
    out.flush()
}

/// `M3 tid 4711 "worker": in a callback, depth 2`, then a line per stack.
fn dump_thread(out: &mut Printer, tid: i32, m: &M) {
    let given = m.name();
    let name = given.split(|&byte| byte == 0).next().filter(|name| !name.is_empty());
    let mut system = [0; 16];
    let name = name.unwrap_or_else(|| sys::thread_name(tid, &mut system));
    let depth = m.gate.depth();
    let out_on_host = m.stacks().any(|slot| slot.busy() && slot.sched_sp() != 0);
    let state = match (depth, out_on_host) {
        (0, _) => "outside",
        (_, false) => "in a callback",
        (_, true) => "in a callback, out on the host's stack",
    };
    let _ = write!(out, "M{} tid {tid} \"", m.number.load(Ordering::Relaxed));
    out.bytes(name);
    let _ = writeln!(out, "\": {state}, depth {depth}");
    for slot in m.stacks() {
        dump_stack(out, slot);
    }
}

fn dump_stack(out: &mut Printer, slot: &GStack) {
    let _ = writeln!(
        out,
        "  goroutine {} stack [{:#x}, {:#x}) {} bytes in memory{}",
        slot.goid(),
        slot.lo,
        slot.hi(),
        slot.resident_bytes(),
        if slot.busy() { "" } else { ", idle" }
    );
}
