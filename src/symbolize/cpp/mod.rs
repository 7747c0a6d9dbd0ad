//! C++ names: the mangling of the Itanium ABI, read into a tree and printed as c++filt prints it,
//! without return types. What names rarely hold (expressions, vendors' extensions) is not
//! understood: such a symbol stays as it is.

mod parse;
mod print;

use core::fmt::{self, Write};
use parse::Parser;
use print::Printer;

/// What may be nested, in the symbol and in its tree.
const MAX_DEPTH: u32 = 200;

type Id = usize;

/// The place of a node whose text is empty.
const NOTHING: Id = 0;

enum Node<'a> {
    Text(&'a str),
    /// `a::b`
    Nested(Id, Id),
    /// `a<b, c>`
    Template(Id, Vec<Id>),
    /// `[abi:tag]`
    Tagged(Id, &'a str),
    /// A constructor of the class, or with `~` its destructor.
    Maker(Id, &'static str),
    /// `vtable for a`, `operator a`
    Of(&'static str, Id),
    Lambda(Vec<Id>, usize),
    Unnamed(usize),
    /// A function's name with its parameters and what stands behind them.
    Encoding(Id, Vec<Id>, &'static str),
    /// `a*`, `a&`
    Pointer(Id, &'static str),
    /// `a const`
    Qualified(Id, &'static str),
    /// `a (b, c)`, a type
    Function(Id, Vec<Id>, &'static str),
    /// `a [3]`
    Array(Id, &'a str),
    /// `a (b::*)`
    Member(Id, Id),
    /// A value, of a type that may matter.
    Literal(Id, &'a str),
    Pack(Vec<Id>),
    /// A pattern, once for each in its pack.
    Expansion(Id),
}

/// Prints what a symbol stands for. Whether it was understood.
pub(super) fn print(symbol: &str, out: &mut dyn Write) -> Option<fmt::Result> {
    let mut parser = Parser::of(symbol.strip_prefix("_Z")?);
    let whole = parser.encoding()?;
    // What a compiler made of it: `.part.0`, `.cold`.
    let clone = parser.rest;
    if !(clone.is_empty() || clone.starts_with('.')) {
        return None;
    }
    let mut printer = Printer::of(&parser.nodes, out);
    let text = printer.whole(whole);
    Some(text.and_then(|()| if clone.is_empty() { Ok(()) } else { write!(printer.out, " [clone {clone}]") }))
}
