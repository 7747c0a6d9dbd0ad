//! Prints the tree.

use super::{Id, MAX_DEPTH, Node};
use core::fmt::{self, Write};

pub(super) struct Printer<'p, 'a> {
    nodes: &'p [Node<'a>],
    pub(super) out: &'p mut dyn Write,
    /// Which of a pack's elements is meant.
    element: Option<usize>,
    depth: u32,
    /// The last character printed.
    last: char,
}

impl<'p, 'a> Printer<'p, 'a> {
    pub(super) fn of(nodes: &'p [Node<'a>], out: &'p mut dyn Write) -> Printer<'p, 'a> {
        Printer { nodes, out, element: None, depth: 0, last: ' ' }
    }

    fn text(&mut self, text: &str) -> fmt::Result {
        self.last = text.chars().next_back().unwrap_or(self.last);
        self.out.write_str(text)
    }

    pub(super) fn whole(&mut self, id: Id) -> fmt::Result {
        self.left(id)?;
        self.right(id)
    }

    /// What stands before the name that a type's declaration would have; of all else, everything.
    fn left(&mut self, id: Id) -> fmt::Result {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(fmt::Error);
        }
        let nodes = self.nodes;
        match &nodes[id] {
            Node::Text(text) => self.text(text),
            Node::Nested(outer, inner) => {
                self.whole(*outer)?;
                self.text("::")?;
                self.whole(*inner)
            }
            Node::Template(name, arguments) => {
                self.whole(*name)?;
                self.text(if self.last == '<' { " <" } else { "<" })?;
                self.list(arguments)?;
                self.text(if self.last == '>' { " >" } else { ">" })
            }
            Node::Tagged(name, tag) => {
                self.whole(*name)?;
                self.text("[abi:")?;
                self.text(tag)?;
                self.text("]")
            }
            Node::Maker(class, mark) => {
                self.text(mark)?;
                self.base(*class)
            }
            Node::Of(text, of) => {
                self.text(text)?;
                self.whole(*of)
            }
            Node::Lambda(parameters, number) => {
                self.text("{lambda(")?;
                self.list(parameters)?;
                self.number(")#", *number, "}")
            }
            Node::Unnamed(number) => self.number("{unnamed type#", *number, "}"),
            Node::Encoding(name, parameters, behind) => {
                self.whole(*name)?;
                self.text("(")?;
                self.list(parameters)?;
                self.text(")")?;
                self.text(behind)
            }
            Node::Literal(ty, value) => self.literal(*ty, value),
            Node::Pack(elements) => match self.element.map(|at| elements.get(at)) {
                Some(element) => element.map_or(Ok(()), |&element| self.whole(element)),
                None => self.list(elements),
            },
            Node::Expansion(pattern) => self.expansion(*pattern),
            node => self.type_left(node),
        }?;
        self.depth -= 1;
        Ok(())
    }

    fn type_left(&mut self, node: &Node<'_>) -> fmt::Result {
        match node {
            Node::Pointer(to, mark) => {
                let (to, mark) = self.collapsed(*to, mark);
                self.left(to)?;
                self.open(to)?;
                self.text(mark)
            }
            Node::Member(class, of) => {
                self.left(*of)?;
                if self.open(*of)? {
                    self.whole(*class)?;
                } else {
                    self.text(" ")?;
                    self.whole(*class)?;
                }
                self.text("::*")
            }
            Node::Qualified(of, qualifiers) => {
                self.left(*of)?;
                if self.is_function(*of) { Ok(()) } else { self.text(qualifiers) }
            }
            Node::Function(result, ..) => {
                self.left(*result)?;
                self.text(" ")
            }
            Node::Array(of, _) => self.left(*of),
            _ => Ok(()),
        }
    }

    /// What stands behind that name.
    fn right(&mut self, id: Id) -> fmt::Result {
        let nodes = self.nodes;
        match &nodes[id] {
            Node::Pointer(to, mark) => {
                let (to, _) = self.collapsed(*to, mark);
                self.close(to)?;
                self.right(to)
            }
            Node::Member(_, of) => {
                self.close(*of)?;
                self.right(*of)
            }
            Node::Qualified(of, qualifiers) => {
                self.right(*of)?;
                if self.is_function(*of) { self.text(qualifiers) } else { Ok(()) }
            }
            Node::Function(result, parameters, behind) => {
                self.text("(")?;
                self.list(parameters)?;
                self.text(")")?;
                self.text(behind)?;
                self.right(*result)
            }
            Node::Array(of, count) => {
                self.text(" [")?;
                self.text(count)?;
                self.text("]")?;
                self.right(*of)
            }
            _ => Ok(()),
        }
    }

    /// The parenthesis that a pointer to a function or an array needs. Whether it does.
    fn open(&mut self, to: Id) -> Result<bool, fmt::Error> {
        let to = self.seen(to);
        let text = match self.nodes[to] {
            Node::Function(..) => "(",
            Node::Array(..) => " (",
            _ => return Ok(false),
        };
        self.text(text).map(|()| true)
    }

    fn close(&mut self, to: Id) -> fmt::Result {
        let to = self.seen(to);
        match self.nodes[to] {
            Node::Function(..) | Node::Array(..) => self.text(")"),
            _ => Ok(()),
        }
    }

    /// What a template's parameter stands for, and a qualified type is without that.
    fn seen(&self, mut id: Id) -> Id {
        while let Node::Qualified(of, _) = self.nodes[id] {
            id = of;
        }
        id
    }

    fn is_function(&self, id: Id) -> bool {
        matches!(self.nodes[self.seen(id)], Node::Function(..))
    }

    /// A reference to a reference is one.
    fn collapsed(&self, to: Id, mark: &'static str) -> (Id, &'static str) {
        let mut at = to;
        loop {
            at = match &self.nodes[at] {
                Node::Qualified(of, "") => *of,
                Node::Pack(elements) => match self.element.and_then(|element| elements.get(element)) {
                    Some(element) => *element,
                    None => break,
                },
                _ => break,
            };
        }
        match self.nodes[at] {
            Node::Pointer(inner, of @ ("&" | "&&")) if mark != "*" => {
                (inner, if mark == "&" { "&" } else { of })
            }
            _ => (to, mark),
        }
    }

    fn list(&mut self, ids: &[Id]) -> fmt::Result {
        let mut first = true;
        for &id in ids {
            if self.is_empty(id) {
                continue;
            }
            if !core::mem::take(&mut first) {
                self.text(", ")?;
            }
            self.whole(id)?;
        }
        Ok(())
    }

    fn is_empty(&self, id: Id) -> bool {
        match &self.nodes[id] {
            Node::Pack(elements) => elements.is_empty(),
            Node::Expansion(pattern) => self.pack_in(*pattern, 0).is_some_and(|pack| self.is_empty(pack)),
            Node::Qualified(of, "") => self.is_empty(*of),
            _ => false,
        }
    }

    fn expansion(&mut self, pattern: Id) -> fmt::Result {
        let count = match self.pack_in(pattern, 0).map(|pack| &self.nodes[pack]) {
            Some(Node::Pack(elements)) => elements.len(),
            _ => {
                self.whole(pattern)?;
                return self.text("...");
            }
        };
        let outside = self.element;
        for at in 0..count {
            if at > 0 {
                self.text(", ")?;
            }
            self.element = Some(at);
            self.whole(pattern)?;
        }
        self.element = outside;
        Ok(())
    }

    /// The first pack in a pattern.
    fn pack_in(&self, id: Id, depth: u32) -> Option<Id> {
        const DEEP: u32 = 12;
        let next = depth + 1;
        match &self.nodes[id] {
            _ if depth > DEEP => None,
            Node::Pack(_) => Some(id),
            Node::Qualified(of, _) | Node::Pointer(of, _) | Node::Array(of, _) => self.pack_in(*of, next),
            Node::Nested(a, b) | Node::Member(a, b) => {
                self.pack_in(*a, next).or_else(|| self.pack_in(*b, next))
            }
            Node::Template(_, of) | Node::Function(_, of, _) => {
                of.iter().find_map(|&id| self.pack_in(id, next))
            }
            _ => None,
        }
    }

    /// A class's own name, without what it is in and without arguments.
    fn base(&mut self, mut id: Id) -> fmt::Result {
        loop {
            id = match self.nodes[id] {
                Node::Nested(_, name) | Node::Template(name, _) | Node::Tagged(name, _) => name,
                Node::Qualified(name, "") => name,
                _ => return self.whole(id),
            }
        }
    }

    fn number(&mut self, before: &str, number: usize, after: &str) -> fmt::Result {
        self.text(before)?;
        write!(self.out, "{number}")?;
        self.text(after)
    }

    fn literal(&mut self, ty: Id, value: &str) -> fmt::Result {
        let suffix = match (&self.nodes[ty], value) {
            (Node::Text("bool"), "0") => return self.text("false"),
            (Node::Text("bool"), "1") => return self.text("true"),
            (Node::Text("int"), _) => "",
            (Node::Text("unsigned int"), _) => "u",
            (Node::Text("long"), _) => "l",
            (Node::Text("unsigned long"), _) => "ul",
            (Node::Text("long long"), _) => "ll",
            (Node::Text("unsigned long long"), _) => "ull",
            _ => {
                self.text("(")?;
                self.whole(ty)?;
                self.text(")")?;
                ""
            }
        };
        let (sign, digits) = value.strip_prefix('n').map_or(("", value), |digits| ("-", digits));
        self.text(sign)?;
        self.text(digits)?;
        self.text(suffix)
    }
}
