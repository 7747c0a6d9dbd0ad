//! The hook in the plugin's own std: where a panic comes from. It stays as long as the plugin's std does.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::fmt::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;

use super::gate;

/// Text of at most `N - 1` bytes; what is longer is cut.
pub(super) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub(super) const fn new() -> Text<N> {
        Text { bytes: [0; N], len: 0 }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// A NUL inside becomes a blank.
    pub(super) fn as_c_str(&mut self) -> &CStr {
        self.bytes[..self.len].iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        self.bytes[self.len] = 0;
        CStr::from_bytes_until_nul(&self.bytes).expect("it was just ended")
    }

    /// Cuts it so that so many bytes more have room.
    fn make_room(&mut self, bytes: usize) {
        let mut len = self.len.min((N - 1).saturating_sub(bytes));
        // Not inside a character.
        while len < self.len && self.bytes[len] & 0xc0 == 0x80 {
            len -= 1;
        }
        self.len = len;
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut len = text.len().min(N - 1 - self.len);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// The last panic of the thread.
struct Last {
    /// Its payload's type, and where its text is: that of a payload that comes later may be told by it.
    identity: Cell<Option<(TypeId, usize, usize)>>,
    /// File, line and column.
    place: RefCell<Text<256>>,
    /// What it said.
    text: RefCell<Text<256>>,
}

thread_local! {
    // No destructor; see `gate`.
    static LAST: Last = const {
        Last {
            identity: Cell::new(None),
            place: RefCell::new(Text::new()),
            text: RefCell::new(Text::new()),
        }
    };
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

/// The one that was there before.
static PREVIOUS: OnceLock<Hook> = OnceLock::new();

/// Puts ours in front of the one that is there.
pub(super) fn install() {
    let _ = PREVIOUS.set(panic::take_hook());
    // A function's box takes no memory: nothing is left behind when the plugin is unloaded.
    panic::set_hook(Box::new(look));
}

fn look(info: &PanicHookInfo<'_>) {
    if !gate::is_inside() {
        if let Some(previous) = PREVIOUS.get() {
            previous(info);
        }
        return;
    }
    let text = text_of(info.payload());
    LAST.with(|last| {
        if is_the_end(text) {
            // std is about to abort. What led here was not told yet.
            let mut out = Text::<1024>::new();
            let first = last.text.borrow();
            if first.len > 0 {
                let _ = out.write_str("panic: ");
                push(&mut out, first.as_bytes());
                push_place(&mut out, last.place.borrow().as_bytes());
                let _ = out.write_str("\n");
            }
            let _ = writeln!(out, "panic: {text}");
            print(out.as_bytes());
            return;
        }
        last.identity.set(Some(identity(info.payload())));
        let (mut said, mut place) = (last.text.borrow_mut(), last.place.borrow_mut());
        (said.len, place.len) = (0, 0);
        let _ = said.write_str(text);
        if let Some(at) = info.location() {
            let _ = write!(place, "{}:{}:{}", at.file(), at.line(), at.column());
        }
    });
}

/// Whether std will abort after this panic, which cannot be unwound. std tells only by the text.
fn is_the_end(text: &str) -> bool {
    text.starts_with("panic in a ") || text.starts_with("unsafe precondition(s) violated")
}

fn text_of(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("Box<dyn Any>")
}

fn identity(payload: &dyn Any) -> (TypeId, usize, usize) {
    let text = text_of(payload);
    (payload.type_id(), text.as_ptr() as usize, text.len())
}

/// Writes what a payload says and, if the hook has seen it, where it comes from.
pub(super) fn describe(payload: &(dyn Any + Send), out: &mut Text<1024>) {
    let _ = out.write_str(text_of(payload));
    LAST.with(|last| {
        if last.identity.get() == Some(identity(payload)) {
            push_place(out, last.place.borrow().as_bytes());
        }
    });
}

fn push<const N: usize>(out: &mut Text<N>, bytes: &[u8]) {
    let _ = out.write_str(&String::from_utf8_lossy(bytes));
}

fn push_place<const N: usize>(out: &mut Text<N>, place: &[u8]) {
    if !place.is_empty() {
        out.make_room(place.len() + " ()".len());
        let _ = out.write_str(" (");
        push(out, place);
        let _ = out.write_str(")");
    }
}

fn print(text: &[u8]) {
    // SAFETY: so many bytes are there.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

/// The end of a panic that there is no library for.
pub(super) fn die(text: &[u8], why: &dyn fmt::Display) -> ! {
    let mut out = Text::<2048>::new();
    let _ = out.write_str("panic: ");
    push(&mut out, text);
    let _ = writeln!(out, "\n{why}");
    print(out.as_bytes());
    std::process::abort()
}
