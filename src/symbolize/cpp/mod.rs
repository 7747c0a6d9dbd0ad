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

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(symbol: &str) -> Option<String> {
        let mut text = String::new();
        print(symbol, &mut text)?.ok()?;
        Some(text)
    }

    /// As c++filt prints them, but for return types and the short names of `std`.
    #[test]
    fn symbols_are_understood() {
        for (symbol, wanted) in [
            ("_Z1fiPKcz", "f(int, char const*, ...)"),
            ("_ZN1AC1ERKS_", "A::A(A const&)"),
            ("_ZN1AD0Ev", "A::~A()"),
            ("_ZN1AcvbEv", "A::operator bool()"),
            ("_ZplRK1AS1_", "operator+(A const&, A const&)"),
            ("_ZN1AixEi", "A::operator[](int)"),
            ("_ZN1AclEv", "A::operator()()"),
            ("_ZN1AnwEm", "A::operator new(unsigned long)"),
            ("_Zli3_kmy", "operator\"\" _km(unsigned long long)"),
            ("_ZNKR1A1fEv", "A::f() const &"),
            ("_ZNO1A1fEv", "A::f() &&"),
            ("_ZN12_GLOBAL__N_11fEv", "(anonymous namespace)::f()"),
            ("_Z1fPFivE", "f(int (*)())"),
            ("_Z1fRA3_i", "f(int (&) [3])"),
            ("_Z1fM1AFivE", "f(int (A::*)())"),
            ("_Z1fM1Ai", "f(int A::*)"),
            ("_Z1fPKPVi", "f(int volatile* const*)"),
            ("_Z1fDn", "f(decltype(nullptr))"),
            ("_Z1fIJicEEvDpT_", "f<int, char>(int, char)"),
            ("_Z1fIJEEvDpT_", "f<>()"),
            ("_Z1fILi3ELb1EEvv", "f<3, true>()"),
            ("_Z1fILin5ELc97EEvv", "f<-5, (char)97>()"),
            ("_Z1fIiEvOT_", "f<int>(int&&)"),
            ("_Z1fIRiEvOT_", "f<int&>(int&)"),
            ("_ZN1AIiE1BIcE1fEv", "A<int>::B<char>::f()"),
            ("_ZN1fB5cxx11Ev", "f[abi:cxx11]()"),
            ("_ZTV1A", "vtable for A"),
            ("_ZTI1A", "typeinfo for A"),
            ("_ZTS1A", "typeinfo name for A"),
            ("_ZTT1A", "VTT for A"),
            ("_ZGVZ1fvE1x", "guard variable for f()::x"),
            ("_ZThn16_N1A1fEv", "non-virtual thunk to A::f()"),
            ("_ZTv0_n24_N1A1fEv", "virtual thunk to A::f()"),
            ("_ZZ1fvE1x_0", "f()::x"),
            ("_ZZ1fvENK3$_0clEv", "f()::$_0::operator()() const"),
            ("_ZZN1A1fEvENKUlicE0_clEic", "A::f()::{lambda(int, char)#2}::operator()(int, char) const"),
            ("_ZZ1fvENUt_1gEv", "f()::{unnamed type#1}::g()"),
            ("_Z1fRKSsS0_", "f(std::string const&, std::string const&)"),
            ("_ZSt4moveIRiEONSt16remove_referenceIT_E4typeEOS2_", "std::move<int&>(int&)"),
            ("_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back(int&&)"),
            (
                "_ZNSt3mapISsiSt4lessISsESaISt4pairIKSsiEEEixERS3_",
                "std::map<std::string, int, std::less<std::string>, std::allocator<std::pair<std::string const, int> > >::operator[](std::string const&)",
            ),
            ("_Z1fPDoFvvE", "f(void (*)() noexcept)"),
            ("_Z1fv.part.0", "f() [clone .part.0]"),
            (
                "_Z1fNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
                "f(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >)",
            ),
            ("_ZN1AIL_Z1gvEE1fEv", "A<g()>::f()"),
        ] {
            assert_eq!(printed(symbol).as_deref(), Some(wanted), "{symbol}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left() {
        for symbol in [
            "_ZN1AcvT_IiEEv",
            "_Z1fu7__fancyi",
            "_Z1fDTpl1a1bE",
            "_ZN1AIXadL_Z1gvEEE1fEv",
            "_Z",
            "_Z1",
            "_Z9f",
            "_ZN",
            "_ZN1A",
            "_Z1fS_",
            "_Z1fT_",
            "_Z1fI",
            "_Z1fFv",
            "_Z1fL_",
            "_Z18446744073709551616f",
            "_ZZ",
            "_Z1fv@",
            "main",
            "",
        ] {
            assert_eq!(printed(symbol), None, "{symbol}");
        }
    }

    #[test]
    fn a_cut_symbol_does_no_harm() {
        let whole = "_ZNSt3mapISsiSt4lessISsESaISt4pairIKSsiEEEixERS3_PFivEM1AFivERA3_iDpT_";
        for end in 0..whole.len() {
            let _ = printed(&whole[..end]);
        }
    }
}
