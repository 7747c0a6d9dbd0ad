//! Reads a symbol into a tree.

use super::{Id, MAX_DEPTH, NOTHING, Node};

pub(super) struct Parser<'a> {
    pub(super) rest: &'a str,
    pub(super) nodes: Vec<Node<'a>>,
    substitutions: Vec<Id>,
    /// What `T_` and its like stand for.
    arguments: Vec<Id>,
    /// In the signature of a lambda, where they are its own.
    in_lambda: bool,
    depth: u32,
}

impl<'a> Parser<'a> {
    pub(super) fn of(rest: &'a str) -> Parser<'a> {
        let nodes = vec![Node::Text("")];
        Parser { rest, nodes, substitutions: vec![], arguments: vec![], in_lambda: false, depth: 0 }
    }

    fn push(&mut self, node: Node<'a>) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn keep(&mut self, id: Id) -> Id {
        self.substitutions.push(id);
        id
    }

    fn eat(&mut self, text: &str) -> bool {
        self.rest.strip_prefix(text).map(|rest| self.rest = rest).is_some()
    }

    /// Eats a code of a table, and gives what it means.
    fn eat_one_of(&mut self, table: &'static str) -> Option<&'static str> {
        let entries = table.split_terminator(';').filter_map(|entry| entry.split_once('='));
        entries.into_iter().find(|(code, _)| self.eat(code)).map(|(_, meaning)| meaning)
    }

    fn want(&mut self, text: &str) -> Option<()> {
        self.eat(text).then_some(())
    }

    /// One level further in.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let parsed = if self.depth < MAX_DEPTH { parse(self) } else { None };
        self.depth -= 1;
        parsed
    }

    fn digits(&mut self) -> &'a str {
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(len);
        self.rest = rest;
        digits
    }

    /// `_` is 0, `0_` is 1.
    fn sequel(&mut self) -> Option<usize> {
        let digits = self.digits();
        self.want("_")?;
        if digits.is_empty() { Some(0) } else { digits.parse::<usize>().ok()?.checked_add(1) }
    }

    pub(super) fn encoding(&mut self) -> Option<Id> {
        self.nested(|this| {
            if let Some(special) = this.special() {
                return special;
            }
            let (name, behind, returns) = this.name()?;
            if this.rest.is_empty() || this.rest.starts_with(['E', '.']) {
                return Some(name);
            }
            if returns {
                this.ty()?;
            }
            let parameters = this.types(&['E', '.'])?;
            Some(this.push(Node::Encoding(name, parameters, behind)))
        })
    }

    /// What is made for a class or a variable; `None`, if this is no such name.
    fn special(&mut self) -> Option<Option<Id>> {
        const OF_TYPES: &str = "TV=vtable for ;TT=VTT for ;TI=typeinfo for ;TS=typeinfo name for ";
        const OF_NAMES: &str =
            "GV=guard variable for ;TW=TLS wrapper function for ;TH=TLS init function for ";
        if let Some(text) = self.eat_one_of(OF_TYPES) {
            return Some(self.ty().map(|of| self.push(Node::Of(text, of))));
        }
        if let Some(text) = self.eat_one_of(OF_NAMES) {
            return Some(self.name().map(|(of, ..)| self.push(Node::Of(text, of))));
        }
        let text = match self.rest.get(..2)? {
            "Th" => "non-virtual thunk to ",
            "Tv" => "virtual thunk to ",
            _ => return None,
        };
        Some(self.thunk().and_then(|()| self.encoding()).map(|of| self.push(Node::Of(text, of))))
    }

    fn thunk(&mut self) -> Option<()> {
        let numbers = if self.eat("Th") { 1 } else { 2 };
        self.eat("Tv");
        for _ in 0..numbers {
            self.eat("n");
            self.digits();
            self.want("_")?;
        }
        Some(())
    }

    /// A name, what stands behind a function's parameters, and whether its return type is mangled.
    fn name(&mut self) -> Option<(Id, &'static str, bool)> {
        if self.rest.starts_with('N') {
            return self.nested_name();
        }
        if self.rest.starts_with('Z') {
            return self.nested(Self::local_name);
        }
        let mut name = match self.rest.starts_with('S') && !self.rest.starts_with("St") {
            true => self.substitution()?,
            false => {
                let name = self.unscoped()?;
                if self.rest.starts_with('I') { self.keep(name) } else { name }
            }
        };
        let returns = self.rest.starts_with('I');
        if returns {
            name = self.template(name)?;
        }
        Some((name, "", returns && !self.is_conversion(name)))
    }

    fn unscoped(&mut self) -> Option<Id> {
        let std = if self.eat("St") { self.push(Node::Text("std")) } else { NOTHING };
        let name = self.unqualified(NOTHING)?;
        Some(if std == NOTHING { name } else { self.push(Node::Nested(std, name)) })
    }

    fn qualifiers(&mut self) -> &'static str {
        const ALL: [&str; 8] = [
            "",
            " const",
            " volatile",
            " const volatile",
            " restrict",
            " restrict const",
            " restrict volatile",
            " restrict const volatile",
        ];
        let (restrict, volatile, constant) = (self.eat("r"), self.eat("V"), self.eat("K"));
        ALL[usize::from(restrict) * 4 + usize::from(volatile) * 2 + usize::from(constant)]
    }

    fn nested_name(&mut self) -> Option<(Id, &'static str, bool)> {
        self.want("N")?;
        let qualifiers = self.qualifiers();
        let behind = match (qualifiers, self.eat("R"), !qualifiers.is_empty() || self.eat("O")) {
            (" const", true, _) => " const &",
            ("", true, _) => " &",
            ("", _, true) => " &&",
            _ => qualifiers,
        };
        let mut at = NOTHING;
        let mut returns = false;
        while !self.eat("E") {
            let is_template = self.rest.starts_with('I');
            at = match self.rest.bytes().next()? {
                b'I' if at != NOTHING => self.template(at)?,
                b'S' if at == NOTHING => {
                    at = self.substitution()?;
                    continue;
                }
                b'T' if at == NOTHING => self.parameter()?,
                _ => {
                    let name = self.unqualified(at)?;
                    if at == NOTHING { name } else { self.push(Node::Nested(at, name)) }
                }
            };
            returns = is_template && !self.is_conversion(at);
            // The whole name is kept by whoever uses it.
            if !self.rest.starts_with('E') && self.substitutions.last() != Some(&at) {
                self.keep(at);
            }
        }
        (at != NOTHING).then_some((at, behind, returns))
    }

    /// Whether the name is that of what has no return type: a constructor or a conversion.
    fn is_conversion(&self, mut id: Id) -> bool {
        loop {
            id = match &self.nodes[id] {
                Node::Template(name, _) | Node::Nested(_, name) | Node::Tagged(name, _) => *name,
                node => return matches!(node, Node::Maker(..) | Node::Of("operator ", _)),
            }
        }
    }

    fn local_name(&mut self) -> Option<(Id, &'static str, bool)> {
        self.want("Z")?;
        let function = self.encoding()?;
        self.want("E")?;
        if self.eat("s") {
            self.discriminator();
            let text = self.push(Node::Text("string literal"));
            return Some((self.push(Node::Nested(function, text)), "", false));
        }
        if self.eat("d") {
            self.sequel()?;
        }
        let (name, behind, returns) = self.name()?;
        self.discriminator();
        Some((self.push(Node::Nested(function, name)), behind, returns))
    }

    fn discriminator(&mut self) {
        if self.eat("__") {
            self.digits();
            self.eat("_");
        } else if self.rest.starts_with('_') {
            self.eat("_");
            self.digits();
        }
    }

    /// A name in `class`.
    fn unqualified(&mut self, class: Id) -> Option<Id> {
        self.eat("L");
        let mut name = match self.rest.bytes().next()? {
            b'0'..=b'9' => {
                let text = self.source_name()?;
                self.push(Node::Text(if text.starts_with("_GLOBAL__N") {
                    "(anonymous namespace)"
                } else {
                    text
                }))
            }
            b'C' | b'D' if class != NOTHING => {
                let mark = if self.rest.starts_with('D') { "~" } else { "" };
                let inherits = self.rest.starts_with("CI");
                self.rest = self.rest.get(if inherits { 3 } else { 2 }..)?;
                if inherits {
                    self.ty()?;
                }
                self.push(Node::Maker(class, mark))
            }
            b'U' => self.unnamed()?,
            _ => self.operator()?,
        };
        while self.eat("B") {
            let tag = self.source_name()?;
            name = self.push(Node::Tagged(name, tag));
        }
        Some(name)
    }

    fn source_name(&mut self) -> Option<&'a str> {
        let len = self.digits().parse().ok()?;
        let (name, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(name)
    }

    fn unnamed(&mut self) -> Option<Id> {
        if self.eat("Ut") {
            let number = self.sequel()?;
            return Some(self.push(Node::Unnamed(number + 1)));
        }
        self.want("Ul")?;
        let outside = core::mem::replace(&mut self.in_lambda, true);
        let parameters = self.types(&['E']);
        self.in_lambda = outside;
        self.want("E")?;
        let number = self.sequel()?;
        Some(self.push(Node::Lambda(parameters?, number + 1)))
    }

    fn operator(&mut self) -> Option<Id> {
        if self.eat("cv") {
            let to = self.ty()?;
            return Some(self.push(Node::Of("operator ", to)));
        }
        if self.eat("li") {
            let suffix = self.source_name()?;
            let suffix = self.push(Node::Text(suffix));
            return Some(self.push(Node::Of("operator\"\" ", suffix)));
        }
        let text = self.eat_one_of(OPERATORS)?;
        Some(self.push(Node::Text(text)))
    }

    fn template(&mut self, name: Id) -> Option<Id> {
        let arguments = self.arguments()?;
        self.arguments.clone_from(&arguments);
        Some(self.push(Node::Template(name, arguments)))
    }

    fn arguments(&mut self) -> Option<Vec<Id>> {
        self.want("I")?;
        let mut arguments = Vec::new();
        while !self.eat("E") {
            arguments.push(self.nested(Self::argument)?);
        }
        Some(arguments)
    }

    fn argument(&mut self) -> Option<Id> {
        if self.eat("J") {
            let mut pack = Vec::new();
            while !self.eat("E") {
                pack.push(self.nested(Self::argument)?);
            }
            return Some(self.push(Node::Pack(pack)));
        }
        if !self.eat("L") {
            return self.ty();
        }
        if self.eat("_Z") {
            let outside = self.arguments.clone();
            let of = self.encoding()?;
            self.arguments = outside;
            self.want("E")?;
            return Some(of);
        }
        let ty = self.ty()?;
        let (value, rest) = self.rest.split_once('E')?;
        self.rest = rest;
        Some(self.push(Node::Literal(ty, value)))
    }

    fn parameter(&mut self) -> Option<Id> {
        self.want("T")?;
        let index = self.sequel()?;
        if self.in_lambda {
            let auto = self.push(Node::Text("auto"));
            return Some(self.keep(auto));
        }
        let known = *self.arguments.get(index)?;
        // A node of its own: it is a substitution of its own.
        let same = self.push(Node::Qualified(known, ""));
        Some(self.keep(same))
    }

    fn substitution(&mut self) -> Option<Id> {
        self.want("S")?;
        if let Some(text) = self.eat_one_of(STANDARD) {
            let std = self.push(Node::Text("std"));
            if text.is_empty() {
                return Some(std);
            }
            let name = self.push(Node::Text(text));
            let mut id = self.push(Node::Nested(std, name));
            while self.eat("B") {
                let tag = self.source_name()?;
                id = self.push(Node::Tagged(id, tag));
                self.keep(id);
            }
            return Some(id);
        }
        let (digits, rest) = self.rest.split_once('_')?;
        self.rest = rest;
        let index =
            if digits.is_empty() { 0 } else { usize::from_str_radix(digits, 36).ok()?.checked_add(1)? };
        self.substitutions.get(index).copied()
    }

    /// Types up to one of `ends` or the end; `v` alone means none.
    fn types(&mut self, ends: &[char]) -> Option<Vec<Id>> {
        let mut types = Vec::new();
        self.eat("v");
        while !self.rest.is_empty() && !self.rest.starts_with(ends) {
            types.push(self.ty()?);
        }
        Some(types)
    }

    fn ty(&mut self) -> Option<Id> {
        self.nested(Self::type_inside)
    }

    fn type_inside(&mut self) -> Option<Id> {
        let first = self.rest.bytes().next()?;
        if let Some(text) = self.eat_one_of(BUILTIN) {
            return Some(self.push(Node::Text(text)));
        }
        let id = match first {
            b'r' | b'V' | b'K' => {
                let qualifiers = self.qualifiers();
                let of = self.ty()?;
                self.push(Node::Qualified(of, qualifiers))
            }
            b'P' | b'R' | b'O' => {
                self.rest = &self.rest[1..];
                let to = self.ty()?;
                let mark = if first == b'P' {
                    "*"
                } else if first == b'R' {
                    "&"
                } else {
                    "&&"
                };
                self.push(Node::Pointer(to, mark))
            }
            b'F' => self.function()?,
            b'A' => {
                self.want("A")?;
                let count = self.digits();
                self.want("_")?;
                let of = self.ty()?;
                self.push(Node::Array(of, count))
            }
            b'M' => {
                self.want("M")?;
                let class = self.ty()?;
                let of = self.ty()?;
                self.push(Node::Member(class, of))
            }
            b'T' => {
                let parameter = self.parameter()?;
                return self.applied(parameter);
            }
            b'S' if !self.rest.starts_with("St") => {
                let known = self.substitution()?;
                return self.applied(known);
            }
            b'D' if self.rest.starts_with("Dp") => {
                self.want("Dp")?;
                let pattern = self.ty()?;
                self.push(Node::Expansion(pattern))
            }
            b'D' if self.rest.starts_with("Do") => {
                self.want("Do")?;
                let Node::Function(result, parameters, _) = self.function_node()? else { return None };
                self.push(Node::Function(result, parameters, " noexcept"))
            }
            b'N' | b'Z' | b'S' | b'0'..=b'9' => {
                let outside = self.arguments.clone();
                let name = self.name()?.0;
                self.arguments = outside;
                name
            }
            _ => return None,
        };
        Some(self.keep(id))
    }

    /// A known template, with arguments if they follow.
    fn applied(&mut self, known: Id) -> Option<Id> {
        if !self.rest.starts_with('I') {
            return Some(known);
        }
        let arguments = self.arguments()?;
        let whole = self.push(Node::Template(known, arguments));
        Some(self.keep(whole))
    }

    fn function(&mut self) -> Option<Id> {
        let node = self.function_node()?;
        Some(self.push(node))
    }

    fn function_node(&mut self) -> Option<Node<'a>> {
        self.want("F")?;
        self.eat("Y");
        let result = self.ty()?;
        self.eat("v");
        let mut parameters = Vec::new();
        while !["E", "RE", "OE"].iter().any(|end| self.rest.starts_with(end)) {
            parameters.push(self.ty()?);
        }
        let behind = if self.eat("RE") {
            " &"
        } else if self.eat("OE") {
            " &&"
        } else {
            ""
        };
        if behind.is_empty() {
            self.want("E")?;
        }
        Some(Node::Function(result, parameters, behind))
    }
}

/// What stands for names of `std`; each table holds `code=meaning;`.
const STANDARD: &str = "\
    t=;a=allocator;b=basic_string;s=string;i=istream;o=ostream;d=iostream;";

const BUILTIN: &str = "\
    v=void;w=wchar_t;b=bool;c=char;a=signed char;h=unsigned char;s=short;t=unsigned short;i=int;\
    j=unsigned int;l=long;m=unsigned long;x=long long;y=unsigned long long;n=__int128;\
    o=unsigned __int128;f=float;d=double;e=long double;g=__float128;z=...;Dd=decimal64;De=decimal128;\
    Df=decimal32;Dh=half;Di=char32_t;Ds=char16_t;Du=char8_t;Da=auto;Dn=decltype(nullptr);";

const OPERATORS: &str = "\
    nw=operator new;na=operator new[];dl=operator delete;da=operator delete[];aw=operator co_await;\
    ps=operator+;ng=operator-;ad=operator&;de=operator*;co=operator~;pl=operator+;mi=operator-;\
    ml=operator*;dv=operator/;rm=operator%;an=operator&;or=operator|;eo=operator^;aS=operator=;\
    pL=operator+=;mI=operator-=;mL=operator*=;dV=operator/=;rM=operator%=;aN=operator&=;oR=operator|=;\
    eO=operator^=;ls=operator<<;rs=operator>>;lS=operator<<=;rS=operator>>=;eq=operator==;ne=operator!=;\
    lt=operator<;gt=operator>;le=operator<=;ge=operator>=;ss=operator<=>;nt=operator!;aa=operator&&;\
    oo=operator||;pp=operator++;mm=operator--;cm=operator,;pm=operator->*;pt=operator->;cl=operator();\
    ix=operator[];qu=operator?;st=sizeof;";
