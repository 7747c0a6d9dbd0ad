//! Whether a frame was jumped over: by the frames of the present stack. `[record]`
//!
//! Three proofs. The frames from here outward come by: it lives. They pass over it, in a frame that
//! is too small to hold a fiber's stack: it is gone. The frames from it outward, in small steps and
//! so on one stack, come to a frame of ours, and ours did not come by it: it is gone, for a stack has
//! no two branches. Anything else may be a fiber that comes back.

use core::cell::UnsafeCell;
use core::ffi::c_void;

use super::{Area, Cursor, Frame, Shared};
use crate::arch::{Regs, call_on_stack};
use crate::base::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::stack::KeptStack;

/// A frame smaller than this holds no stack of a fiber that has called in.
const NO_STACK: usize = 512;
/// A step larger than this may lead from one stack to another.
const ONE_STACK: usize = 4096;
/// As many of our frames are known.
const FRAMES: usize = 512;

// Not those of a report: that waits for nobody.
static AREA: Shared = Shared(UnsafeCell::new(Area::new()));
static STACK: KeptStack = KeptStack::new();
/// Whether both are in use.
static SEARCHING: AtomicBool = AtomicBool::new(false);

/// Whether the frame that ends at `frame.sp`, with its caller as `frame` says, is surely gone, seen
/// from the frame behind `here`. False also if another thread asks just now. Runs on a stack of its
/// own: the present one may be small. `[sig]`
pub(crate) fn is_passed(here: &Regs, frame: Frame) -> bool {
    // Acquire: pairs with the release below.
    if SEARCHING.swap(true, Ordering::Acquire) {
        return false;
    }
    let mut question = Question { here, frame, gone: false };
    let sp = AtomicUsize::new(0);
    // SAFETY: the stack is ours as SEARCHING is.
    unsafe { call_on_stack(Question::answer, (&raw mut question).cast(), STACK.top(), sp.as_ptr()) };
    SEARCHING.store(false, Ordering::Release);
    question.gone
}

struct Question<'a> {
    here: &'a Regs,
    frame: Frame,
    gone: bool,
}

impl Question<'_> {
    unsafe extern "C-unwind" fn answer(question: *mut c_void) {
        // SAFETY: `is_passed` hands over its own, and waits.
        let question = unsafe { &mut *question.cast::<Question<'_>>() };
        // SAFETY: ours until SEARCHING is false again.
        let area = unsafe { &mut *AREA.0.get() };
        area.reset();
        area.maps.load();
        let mut ours = Ours { sps: [0; FRAMES], count: 0 };
        question.gone = match ours.look(area, question) {
            Some(gone) => gone,
            None => ours.are_joined(area, question),
        };
    }
}

/// The stack pointers of the present stack's frames, from here outward.
struct Ours {
    sps: [usize; FRAMES],
    count: usize,
}

impl Ours {
    /// Goes over the present frames: whether they tell.
    fn look(&mut self, area: &mut Area, question: &Question<'_>) -> Option<bool> {
        let end = question.frame.sp;
        let mut gone = None;
        area.follow(Cursor { regs: *question.here, exact: false }, None, &mut |_, at, _| {
            let sp = at.regs.0[Regs::SP];
            let inner = self.sps[..self.count].last().copied().unwrap_or(sp);
            if sp == end {
                gone = Some(false);
            } else if inner < end && end < sp && sp - inner < NO_STACK {
                gone = Some(true);
            }
            if self.count < FRAMES {
                self.sps[self.count] = sp;
                self.count += 1;
            }
            gone.is_none()
        });
        gone
    }

    /// Whether the frames from the one in question outward come to one of ours on the same stack.
    fn are_joined(&self, area: &mut Area, question: &Question<'_>) -> bool {
        let mut regs = *question.here;
        regs.0[Regs::SP] = question.frame.sp;
        regs.0[Regs::FP] = question.frame.fp;
        regs.0[Regs::PC] = question.frame.pc;
        let mut inner = question.frame.sp;
        let mut joined = false;
        area.follow(Cursor { regs, exact: false }, None, &mut |_, at, _| {
            let sp = at.regs.0[Regs::SP];
            let near = sp >= inner && sp - inner < ONE_STACK;
            joined = near && self.sps[..self.count].contains(&sp);
            inner = sp;
            near && !joined
        });
        joined
    }
}
