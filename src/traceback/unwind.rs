//! One step of the walk: from a frame to its caller.

use super::image::{Frames, Image};
use super::memory::Memory;
use super::modules::Maps;
use super::rows::{Row, Rows};
use super::sigreturn;
use crate::arch::{Regs, strip};
use core::mem::size_of;
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, Encoding, EndianSlice, Evaluation, EvaluationResult,
    NativeEndian, Register, RegisterRule, UnwindExpression, UnwindSection, Value, Vendor,
};

/// A place on a stack from which a walk can go on.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// The stack pointer after the return to `pc`.
    pub(crate) sp: usize,
    pub(crate) fp: usize,
    pub(crate) pc: usize,
}

/// Where a walk stands.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    pub(super) regs: Regs,
    /// The PC is the next instruction, and not the one behind a call.
    pub(super) exact: bool,
}

/// What lies beyond a frame.
#[allow(clippy::large_enum_variant)] // Nothing is allocated here.
pub(super) enum Step {
    /// The caller; its PC is exact when the frame left was a signal's.
    To(Cursor),
    /// Not the caller, but the next one that is known.
    Past(Cursor),
    /// Nothing: this was the thread's first frame.
    End,
    /// Something that cannot be found.
    Lost,
}

impl Cursor {
    pub(super) fn pc(&self) -> usize {
        self.regs.0[Regs::PC]
    }

    /// Whether this is another place than `callee`: a walk that stands still has ended.
    pub(super) fn is_progress(&self, callee: &Cursor) -> bool {
        let returned_to_nothing = self.pc() == 0 && !self.exact;
        !returned_to_nothing && (self.sp(), self.pc()) != (callee.sp(), callee.pc())
    }

    fn sp(&self) -> usize {
        self.regs.0[Regs::SP]
    }

    /// An address inside the instruction that the frame is at: a call may be its function's last.
    pub(super) fn place(&self, is_exact: bool) -> usize {
        self.pc().wrapping_sub(usize::from(!is_exact))
    }

    /// Where the stack that this is on was entered from.
    pub(super) fn along(&self, link: Link<'_>) -> Option<Cursor> {
        let next = self.to(link(self.sp())?);
        // SAFETY: the link has read it.
        #[cfg(target_arch = "arm")]
        let next = Cursor { regs: unsafe { crate::arch::recall(next.regs) }, ..next };
        Some(next).filter(|next| next.is_progress(self))
    }

    fn to(&self, frame: Frame) -> Cursor {
        let mut regs = self.regs;
        regs.0[Regs::SP] = frame.sp;
        regs.0[Regs::FP] = frame.fp;
        regs.0[Regs::PC] = frame.pc;
        Cursor { regs, exact: false }
    }
}

/// Register rules of one row: the CPU's columns, and a few for vector registers.
const MAX_RULES: usize = 40;
/// Rows kept at once: the present one, the first one, and two that `DW_CFA_remember_state` nests.
const MAX_DEPTH: usize = 4;

struct Rules;

impl gimli::UnwindContextStorage<usize> for Rules {
    type Rules = [(Register, RegisterRule<usize>); MAX_RULES];
    type Stack = [gimli::UnwindTableRow<usize, Self>; MAX_DEPTH];
}

type Bytes = EndianSlice<'static, NativeEndian>;

struct Values;

impl gimli::EvaluationStorage<Bytes> for Values {
    type Stack = [Value; 16];
    type ExpressionStack = [(Bytes, Bytes); 1];
    type Result = [gimli::Piece<Bytes>; 1];
}

/// Where the stack that holds an SP was entered from, for a walk that found no tables and no frame
/// pointer there.
pub(super) type Link<'a> = &'a dyn Fn(usize) -> Option<Frame>;

/// The caller of the frame at `from`. Without a `link`, tables are believed and nothing else.
pub(super) fn step(
    from: &Cursor,
    maps: &mut Maps,
    memory: &mut Memory,
    rows: &mut Rows,
    link: Option<Link<'_>>,
) -> Step {
    if let Some(regs) = sigreturn::interrupted(from, maps, memory) {
        return Step::To(Cursor { regs, exact: true });
    }
    let place = from.place(from.exact);
    if let Some(regs) = rows.get(place).and_then(|row| row.apply(&from.regs, memory)) {
        return Step::To(Cursor { regs, exact: false });
    }
    let image = maps.module_of(place).and_then(|module| maps.image(module));
    if let Some(next) = image.and_then(|image| by_tables(from, &image, memory, rows)) {
        return next;
    }
    #[cfg(target_arch = "arm")]
    if let Some(next) = image.and_then(|image| super::exidx::by_index(from, &image, memory)) {
        return next;
    }
    let Some(link) = link else { return Step::Lost };
    let caller = None
        .or_else(|| by_jump_to_nowhere(from, maps, memory))
        .or_else(|| by_frame_pointer(from, maps, memory));
    if let Some(frame) = caller {
        return Step::To(from.to(frame));
    }
    match from.along(link) {
        Some(next) => Step::Past(next),
        // The psABI's mark of a thread's first frame, where no table knows better.
        None if HAS_FP && from.regs.0[Regs::FP] == 0 && rows.get(place).is_none() => Step::End,
        None => Step::Lost,
    }
}

/// Whether a register is the frame pointer in all code that has one. ARM and Thumb code have each their own.
const HAS_FP: bool = cfg!(not(target_arch = "arm"));

/// A call of no function at all (a null pointer) has left its return address and nothing else.
fn by_jump_to_nowhere(from: &Cursor, maps: &mut Maps, memory: &mut Memory) -> Option<Frame> {
    if !from.exact || maps.is_code(from.pc()) {
        return None;
    }
    let (pc, sp) = match Regs::LINK {
        Some(link) => (strip(from.regs.0[link]), from.sp()),
        None => (memory.word(from.sp())?, from.sp() + size_of::<usize>()),
    };
    maps.is_code(pc.wrapping_sub(1)).then_some(Frame { sp, fp: from.regs.0[Regs::FP], pc })
}

/// A frame without tables may keep the old frame pointer and the return address where its own
/// frame pointer points.
fn by_frame_pointer(from: &Cursor, maps: &mut Maps, memory: &mut Memory) -> Option<Frame> {
    /// More than a frame takes of which nothing else is known.
    const FAR: usize = 1 << 20;
    let at = from.regs.0[Regs::FP].checked_sub(Regs::RECORD_TO_FP)?;
    if !HAS_FP || at < from.sp() || !at.is_multiple_of(size_of::<usize>()) {
        return None;
    }
    // There compilers write neither tables nor frame pointers unless asked: the register may hold any address.
    if Regs::RECORD_TO_FP != 0 && at - from.sp() > FAR {
        return None;
    }
    let fp = memory.word(at)?;
    let pc = strip(memory.word(at.checked_add(size_of::<usize>())?)?);
    // Where a call pushes nothing, compilers put the two at the lower end of a frame, if the frame pointer is to point
    // at them: there the caller's stack pointer is its frame pointer.
    let sp = match Regs::LINK {
        Some(_) if Regs::RECORD_TO_FP == 0 && fp > at => fp,
        _ => at.checked_add(2 * size_of::<usize>())?,
    };
    maps.is_code(pc.wrapping_sub(1)).then_some(Frame { sp, fp, pc })
}

/// Goes by the call frame information; `None` when it says nothing about this place, or says what
/// cannot be.
#[inline(never)] // The context is large, and what prints a frame needs none.
fn by_tables(from: &Cursor, image: &Image, memory: &mut Memory, rows: &mut Rows) -> Option<Step> {
    let place = from.place(from.exact);
    let Frames { index, entries } = image.frames?;
    let mut frames = EhFrame::new(entries, NativeEndian);
    // Functions there say where they sign return addresses; others do not use that instruction.
    frames.set_vendor(Vendor::AArch64);
    let bases = BaseAddresses::default().set_eh_frame(entries.as_ptr() as u64);
    let bases = index.map_or(bases.clone(), |index| bases.set_eh_frame_hdr(index.as_ptr() as u64));
    let index =
        index.map(|index| EhFrameHdr::new(index, NativeEndian).parse(&bases, size_of::<usize>() as u8));
    let index = index.transpose().ok()?;
    let entry = match index.as_ref().and_then(|index| index.table()) {
        Some(table) => table.fde_for_address(&frames, &bases, place as u64, EhFrame::cie_from_offset),
        None => frames.fde_for_address(&bases, place as u64, EhFrame::cie_from_offset),
    };
    let entry = entry.ok()?;
    let mut context = gimli::UnwindContext::<usize, Rules>::new_in();
    let row = entry.unwind_info_for_address(&frames, &bases, &mut context, place as u64).ok()?;
    let return_address = entry.cie().return_address_register();
    let exact = entry.is_signal_trampoline();
    if let Some(simple) = Row::of(row, return_address).filter(|_| !exact) {
        rows.keep(place, simple);
        let regs = simple.apply(&from.regs, memory)?;
        return Some(Step::To(Cursor { regs, exact }));
    }
    let mut old = Old { regs: &from.regs, memory, frames: &frames, encoding: entry.cie().encoding() };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            old.register(*register)?.wrapping_add(*offset as usize)
        }
        CfaRule::Expression(expression) => old.evaluate(*expression, None)?,
    };
    let mut regs = from.regs;
    regs.0[Regs::SP] = cfa;
    for (register, rule) in row.registers() {
        if let Some(value) = regs.0.get_mut(register.0 as usize) {
            *value = old.recover(*register, rule, cfa)?;
        }
    }
    // An interrupted function need not say that the return address is still where the call left it.
    let is_kept = from.exact && Regs::LINK.is_some();
    if row.register(return_address) == RegisterRule::Undefined && !is_kept {
        return Some(Step::End);
    }
    regs.0[Regs::PC] = strip(*regs.0.get(return_address.0 as usize)?);
    Some(Step::To(Cursor { regs, exact }))
}

/// The callee's registers and all that its rules may refer to.
struct Old<'a> {
    regs: &'a Regs,
    memory: &'a mut Memory,
    frames: &'a EhFrame<Bytes>,
    encoding: Encoding,
}

impl Old<'_> {
    fn register(&self, register: Register) -> Option<usize> {
        self.regs.0.get(register.0 as usize).copied()
    }

    fn recover(&mut self, register: Register, rule: &RegisterRule<usize>, cfa: usize) -> Option<usize> {
        match *rule {
            RegisterRule::Undefined | RegisterRule::SameValue => self.register(register),
            RegisterRule::Offset(offset) => self.memory.word(cfa.wrapping_add(offset as usize)),
            RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add(offset as usize)),
            RegisterRule::Register(other) => self.register(other),
            RegisterRule::Expression(expression) => {
                let addr = self.evaluate(expression, Some(cfa))?;
                self.memory.word(addr)
            }
            RegisterRule::ValExpression(expression) => self.evaluate(expression, Some(cfa)),
            RegisterRule::Constant(value) => Some(value as usize),
            _ => None,
        }
    }

    #[inline(never)] // As above.
    fn evaluate(&mut self, expression: UnwindExpression<usize>, cfa: Option<usize>) -> Option<usize> {
        const MAX_OPERATIONS: u32 = 1000;
        const WHOLE: u64 = u64::MAX;
        let bytes = expression.get(self.frames).ok()?.0;
        let mut evaluation = Evaluation::<Bytes, Values>::new_in(bytes, self.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa as u64);
        }
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.register(register)?;
                    evaluation.resume_with_register(Value::Generic(value as u64)).ok()?
                }
                EvaluationResult::RequiresMemory { address, size, space: None, .. } => {
                    let word = self.memory.word(address as usize)? as u64;
                    let unused_bits = u64::BITS.saturating_sub(u32::from(size) * 8);
                    evaluation.resume_with_memory(Value::Generic(word & WHOLE >> unused_bits)).ok()?
                }
                _ => return None,
            };
        }
        Some(evaluation.value_result()?.to_u64(WHOLE).ok()? as usize)
    }
}
