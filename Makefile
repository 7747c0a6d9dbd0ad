# wharf: builds the library that C programs load. GNU make; `make help` lists the targets.
#
# The settings; nothing below them needs changing.

CARGO   ?= cargo
# Another CPU or libc, as Rust names it, with the tools that have its prefix:
#   make lib TARGET=aarch64-unknown-linux-gnu
TARGET  ?=
CROSS   := $(if $(TARGET),$(patsubst riscv64gc-%,riscv64-%,$(patsubst armv7-%,arm-%,$(subst -unknown-,-,$(TARGET))))-)
UNWINDER := -lgcc_s
ifneq ($(filter %-musl,$(TARGET)),)
# A compiler for glibc that is turned to musl has no libgcc_s.
UNWINDER = $(OUT)/unwinder.a
endif
OWN_MUSL := $(shell uname -m)-unknown-linux-musl
ifeq ($(TARGET),$(OWN_MUSL))
# Of Debian's musl-tools.
CROSS   :=
CC      := musl-gcc
endif
ifneq ($(CROSS),)
CC      := $(CROSS)gcc
AR      := $(CROSS)ar
endif
NM      ?= $(CROSS)nm
OBJCOPY ?= $(CROSS)objcopy
STRIP   ?= $(CROSS)strip
# The oldest glibc that the shared library is to run with, 2.17 or newer. Unset: this machine's.
GLIBC   ?=
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
INCDIR  ?= $(PREFIX)/include
CFLAGS  ?= -O2 -g

# Where the libraries go. Another OUT is another build, with a cargo directory of its own:
#   make lib OUT=target/mutate-x RUSTFLAGS='--cfg wharf_mutate="x"'
OUT ?= target/wharf$(TARGET:%=-%)$(GLIBC:%=-glibc-%)

# ---------------------------------------------------------------------------------------------

SO      := libwharf.so.0
VERSION := $(shell sed -n 's/^version *= *"\(.*\)"/\1/p;T;q' Cargo.toml)
SOURCES := $(sort $(shell find src -name '*.rs' -not -path 'src/face/*')) Cargo.toml $(wildcard Cargo.lock)
HEADERS := include/wharf.h include/wharf_dl.h include/wharf.hpp
CARGO_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR)/$(notdir $(OUT)),$(OUT)/cargo)
ARCHIVE := $(CARGO_DIR)/$(TARGET:%=%/)release/libwharf.a
# Two makes may run at once, as tests do.
LOCK := $(if $(shell command -v flock),flock $(OUT)/lock)
LIBRARIES := $(OUT)/$(SO) $(OUT)/$(SO).debug $(OUT)/libwharf.so $(OUT)/libwharf.a

.DELETE_ON_ERROR:
.PHONY: lib libraries demo test test-cross test-musl musl-aarch64 check-macos lint check model bench soak header install uninstall clean help FORCE
.DEFAULT_GOAL := lib

## lib        the libraries: OUT/libwharf.so.0, libwharf.so, libwharf.so.0.debug, libwharf.a
lib:
	@mkdir -p $(OUT)
	+@$(LOCK) $(MAKE) --no-print-directory libraries
libraries: $(LIBRARIES)

# ---- Tools: what is missing is named, with what brings it -------------------------------------

DEBIAN_RUST := apt-get install rustc-web cargo-web, or https://rustup.rs
# $(call need,command,how to get it)
need = command -v $(firstword $(1)) >/dev/null 2>&1 || \
	{ echo "wharf: $(firstword $(1)) is missing; to get it: $(2)" >&2; exit 1; }
need_cc    = $(call need,$(CC),apt-get install $(if $(filter musl-gcc,$(CC)),musl-tools,$(if $(CROSS),gcc-$(CROSS:-=),gcc libc6-dev)))
need_tools = $(call need,$(NM),apt-get install binutils); \
	$(call need,$(OBJCOPY),apt-get install binutils); \
	$(call need,$(STRIP),apt-get install binutils); \
	$(call need,$(AR),apt-get install binutils)
need_cargo = $(call need,$(CARGO),$(DEBIAN_RUST)); \
	$(CARGO) --version | awk '{ split($$2, v, "."); exit !(v[1] > 1 || v[2] >= 88) }' || \
	{ echo "wharf: $$($(CARGO) --version) is too old, 1.88 is needed; to get it: rustup update stable" >&2; exit 1; }

# ---- The library ------------------------------------------------------------------------------

# Changes when what the build depends on, apart from the files' contents, does.
export WHARF_BUILD = $(CC) $(LDFLAGS) $(GLIBC) / $(RUSTFLAGS) / $(NM) $(OBJCOPY) $(STRIP) $(AR) / $(SOURCES)
$(OUT)/build: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$WHARF_BUILD" | cmp -s - $@ || printf '%s\n' "$$WHARF_BUILD" > $@

# Sections that nothing needs; for RISC-V, ld 2.40 misplaces what is relocated in .eh_frame where it drops any.
DROP := $(if $(filter riscv64%,$(TARGET)),,--gc-sections)

# All of wharf and what it needs of std as one object, whose only global names are wharf's: linked
# into a program, it clashes with no other Rust library there. `cargo rustc --crate-type` because
# cargo leaves link-time optimisation out as soon as an rlib is made along with the archive. The
# remapping keeps the paths of the building machine out of panic messages. Functions are aligned, which
# a build for size leaves out: a warm call is three of them.
$(OUT)/wharf.o: $(SOURCES) $(OUT)/build Makefile
	@$(need_cargo); $(need_cc); $(need_tools)
	$(CARGO) fetch -q
	remap=; for d in "$${CARGO_HOME:-$$HOME/.cargo}"/registry/src/*/; do \
		remap="$$remap'--remap-path-prefix=$${d%/}=/deps',"; done; \
	$(CARGO) rustc -q --release --lib --crate-type staticlib --target-dir $(CARGO_DIR) $(TARGET:%=--target %) \
		--config "build.rustflags=[$$remap'-Cllvm-args=--align-all-functions=4']"
	roots=$$($(NM) -g --defined-only $(ARCHIVE) 2>/dev/null | \
		awk '$$3 ~ /^wharf_/ { print "-Wl,-u," $$3 }'); \
	[ -n "$$roots" ] || { echo "wharf: $(ARCHIVE) exports nothing" >&2; exit 1; }; \
	$(CC) -r -nostdlib $(DROP:%=-Wl,%) -Wl,--force-group-allocation $$roots \
		-o $@.all $(ARCHIVE)
	$(OBJCOPY) -w --keep-global-symbol='wharf_*' $@.all $@
	@rm -f $@.all

$(OUT)/wharf.map: Makefile
	@mkdir -p $(@D)
	@printf 'WHARF_0 {\n  global: wharf_*;\n  local: *;\n};\n' > $@

# The unwinder that the Rust compiler brings asks the environment at its first use whether to log.
$(OUT)/unwinder.a: Makefile
	@mkdir -p $(@D)
	echo 'char *no_variable(void) { return 0; }' | $(CC) -fPIC -xc -c - -o $(@D)/no_variable.o
	$(OBJCOPY) --redefine-sym getenv=no_variable \
		"$$(rustc --print sysroot)/lib/rustlib/$(TARGET)/lib/self-contained/libunwind.a" $@
	$(AR) rsD $@ $(@D)/no_variable.o

LIBS := -lpthread -lm -ldl -lc
ifneq ($(GLIBC),)
OLD  := $(OUT)/glibc.o
# What is in libc now was apart before 2.34, and a program need not have brought it.
LIBS := -Wl,--no-as-needed -l:libpthread.so.0 -l:libdl.so.2 -lc

# Of GLIBC_2.x.y, the number x.y.
number = function number(v) { sub(/^[^.]*[.]/, "", v); return v + 0 }

# This machine's libc still has what it had: each name that has a version too new is given, by `name@version`, the
# newest that is not.
$(OUT)/glibc.names: $(OUT)/build Makefile
	$(NM) -D --with-symbol-versions $$($(CC) -print-file-name=libc.so.6) | awk -v most=$(GLIBC) ' \
		$(number) \
		split($$NF, s, /@+/) == 2 && s[2] ~ /^GLIBC_2/ { \
			if (number(s[2]) > number(most)) new[s[1]] = 1; \
			else if (!(s[1] in old) || number(s[2]) > number(old[s[1]])) old[s[1]] = s[2] } \
		END { for (name in new) if (name in old) print name, name "@" old[name] }' > $@

$(OLD): $(OUT)/wharf.o src/sys/linux/glibc.c $(OUT)/glibc.names
	$(CC) -O2 -fPIC -c src/sys/linux/glibc.c -o $@.new
	$(CC) -r -nostdlib $< $@.new -o $@
	$(OBJCOPY) --redefine-syms=$(OUT)/glibc.names $@
	@rm -f $@.new
endif

# Bound at load: no lazy resolver runs in a signal handler or in a report. Symbolic: wharf calls
# itself, also where the program brings a second wharf. The table of frames that the unwinder looks for
# is asked for, since musl-gcc, which replaces the compiler's own link options, does not ask for it.
$(OUT)/wharf.unstripped: $(OUT)/wharf.o $(OLD) $(OUT)/wharf.map $(filter %.a,$(UNWINDER))
	$(CC) -shared -o $@ $(LDFLAGS) -Wl,-soname,$(SO) -Wl,--version-script=$(OUT)/wharf.map \
		-Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,-z,defs -Wl,-Bsymbolic \
		-Wl,--gc-sections -Wl,--build-id=sha1 -Wl,--hash-style=gnu -Wl,--eh-frame-hdr \
		$(or $(OLD),$<) -Wl,--as-needed $(UNWINDER) $(LIBS)
	$(if $(GLIBC),@$(NM) -D -u --with-symbol-versions $@ | awk -v most=$(GLIBC) '$(number) \
		/@GLIBC_2/ && number($$NF) > number(most) { print "wharf: newer than glibc " most ": " $$NF; bad = 1 } \
		END { exit bad }' >&2)

$(OUT)/$(SO).debug: $(OUT)/wharf.unstripped
	$(OBJCOPY) --only-keep-debug $< $@

# gdb walks over the stack switch by the name __morestack; a trace wants wharf's own names.
$(OUT)/$(SO): $(OUT)/wharf.unstripped $(OUT)/$(SO).debug
	$(STRIP) -w --strip-all -K __morestack -K 'wharf_*' -o $@.new $<
	$(OBJCOPY) --add-gnu-debuglink=$(OUT)/$(SO).debug $@.new
	@mv -f $@.new $@

$(OUT)/libwharf.so: $(OUT)/$(SO)
	@ln -sf $(SO) $@

$(OUT)/libwharf.a: $(OUT)/wharf.o
	@mkdir -p $(OUT)/static
	$(OBJCOPY) --strip-debug -R .llvmbc -R .llvmcmd $< $(OUT)/static/wharf.o
	@rm -f $@
	$(AR) rcsD $@ $(OUT)/static/wharf.o

# ---- Showing and checking ---------------------------------------------------------------------

## demo       builds and runs c_host/demo.c, which ends by a panic
demo: lib $(OUT)/demo
	@ulimit -c 0; $(OUT)/demo $(OUT)/$(SO); status=$$?; \
	if [ $$status -eq 134 ]; then \
		echo "The demo ended by its panic, status 134 (128 + SIGABRT), as it should."; \
	else \
		echo "wharf: the demo ended with status $$status, not by its panic (134)." >&2; exit 1; \
	fi

$(OUT)/demo: c_host/demo.c $(HEADERS)
	@$(need_cc); mkdir -p $(@D)
	$(CC) -std=c11 -Wall -Wextra $(CFLAGS) -Iinclude $(LDFLAGS) $< -o $@ -lpthread -ldl

# What the tests load.
test check bench soak: export WHARF_LIB = $(abspath $(OUT))/$(SO)

## test       every test, against the libraries
test: lib
	$(CARGO) test
	$(CARGO) test -q --doc --no-default-features --features plugin

# What `make test-cross` tests: one of these, or all.
CROSS_TARGETS ?= i686-unknown-linux-gnu aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf \
	riscv64gc-unknown-linux-gnu

## test-cross the scenarios, with the flags of other hosts too, and the mutation builds on other CPUs: CROSS_TARGETS
test-cross:
	@set -e; for target in $(CROSS_TARGETS); do \
		$(MAKE) --no-print-directory lib TARGET=$$target; \
		echo "wharf: $$target"; \
		WHARF_TARGET=$$target $(CARGO) test -q --test scenarios --test variants --test mutations -- --nocapture; \
	done

MUSL_TARGET ?= $(OWN_MUSL)
## test-musl  the scenarios in hosts of musl's: this machine's CPU, or MUSL_TARGET=aarch64-unknown-linux-musl
test-musl: $(if $(filter aarch64-%,$(MUSL_TARGET)),musl-aarch64)
	$(MAKE) --no-print-directory lib TARGET=$(MUSL_TARGET)
	WHARF_TARGET=$(MUSL_TARGET) $(CARGO) test -q --test scenarios -- --nocapture

ifneq ($(shell uname -m),aarch64)
# Its compiler, and what the emulator runs programs by.
MUSL_AARCH64 := $(abspath $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target))/musl-aarch64
musl-aarch64:
	@$(call need,aarch64-linux-gnu-gcc,apt-get install gcc-aarch64-linux-gnu); \
	$(call need,qemu-aarch64,apt-get install qemu-user)
	sh tests/musl.sh arm64 aarch64 '$(MUSL_AARCH64)'
test-musl: export PATH := $(PATH):$(MUSL_AARCH64)/bin
test-musl: export QEMU_LD_PREFIX := $(MUSL_AARCH64)/root
endif

# Nothing here runs what was made for macOS: it is type-checked, linked, and looked at. The linker is rustc's own, and
# ziglang has the list of what the system's library exports, with names of processors that this linker does not know.
MACOS_VERSION := 11.0
MACOS_DIR  := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/macos
RUST_LLD   = $(firstword $(wildcard $(shell rustc --print sysroot)/lib/rustlib/*/bin/rust-lld))
LIBSYSTEM  = $(firstword $(wildcard $(shell $(PYTHON) -c 'import ziglang; print(ziglang.__path__[0])' 2>/dev/null)/lib/libc/darwin/libSystem.tbd))
PYTHON    ?= python3
LLVM_NM   ?= $(shell command -v llvm-nm || command -v llvm-nm-14)
LLVM_OBJDUMP ?= $(shell command -v llvm-objdump || command -v llvm-objdump-14)
LLVM_OTOOL ?= $(shell command -v llvm-otool || command -v llvm-otool-14)

## check-macos  type-checks and links the library for macOS, and looks at what came out; nothing is run
check-macos: check-macos-x86_64 check-macos-aarch64
check-macos-%: FORCE
	@$(need_cargo); $(call need,rustc,https://rustup.rs); \
	lack() { echo "wharf: check-macos: $$1 is missing; to get it: $$2" >&2; exit 1; }; \
	[ -d "$$(rustc --print target-libdir --target $*-apple-darwin)" ] || lack "Rust's $*-apple-darwin" "rustup target add $*-apple-darwin"; \
	[ -n "$(RUST_LLD)" ] || lack rust-lld "a toolchain of rustup's"; \
	[ -n "$(LIBSYSTEM)" ] || lack ziglang "pip install ziglang, and PYTHON=... if it is another's"; \
	[ -n "$(LLVM_NM)" ] && [ -n "$(LLVM_OBJDUMP)" ] && [ -n "$(LLVM_OTOOL)" ] || lack llvm-otool "apt-get install llvm-14"
	@CARGO='$(CARGO)' LD='$(RUST_LLD)' STUBS='$(LIBSYSTEM)' NM='$(LLVM_NM)' OBJDUMP='$(LLVM_OBJDUMP)' OTOOL='$(LLVM_OTOOL)' \
		sh tests/macos.sh $* $(VERSION) $(MACOS_VERSION) '$(MACOS_DIR)'

# A plugin in Rust, built in a place of its own: it has other features than the library.
PLUGIN := c_host/plugins/rust
PLUGIN_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/face

## lint       format, lints
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy -q --all-targets -- -D warnings
	$(CARGO) clippy -q --no-default-features --features plugin --lib -- -D warnings
	$(CARGO) fmt --manifest-path $(PLUGIN)/Cargo.toml --check
	$(CARGO) clippy -q --manifest-path $(PLUGIN)/Cargo.toml --target-dir $(PLUGIN_DIR) -- -D warnings

## check      lint, and of the tests: house rules, headers, delivered files, README, gates
check: lint lib
	$(CARGO) test -q --test house --test header --test release --test readme --test gates

## model      the lock-free parts, every order of their steps
model:
	@$(need_cargo)
	RUSTFLAGS='--cfg loom' CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		$(CARGO) test -q --release --test loom --target-dir $(CARGO_DIR)/model

## bench      the figures, as a table
bench: lib
	$(CARGO) test -q --test bench -- --ignored --nocapture --test-threads=1

## soak       what starts, stops, unloads, forks and ends, 100 times under load; takes an hour
soak: lib
	$(CARGO) test -q --test soak -- --ignored --nocapture

## header     writes include/wharf.h anew from src/ffi
header:
	@$(need_cargo)
	WHARF_HEADER_WRITE=1 $(CARGO) test -q --test header header_is_current

# ---- Installing -------------------------------------------------------------------------------

# Where gdb and addr2line look for what the library's debug link names; ldconfig does not.
DEBUGDIR := $(LIBDIR)/.debug

## install    into DESTDIR/PREFIX: libraries, their debug information, headers, pkg-config file
install: lib
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(DEBUGDIR) $(DESTDIR)$(INCDIR)
	install -m 755 $(OUT)/$(SO) $(DESTDIR)$(LIBDIR)/$(SO)
	install -m 644 $(OUT)/$(SO).debug $(DESTDIR)$(DEBUGDIR)/$(SO).debug
	ln -sf $(SO) $(DESTDIR)$(LIBDIR)/libwharf.so
	install -m 644 $(OUT)/libwharf.a $(DESTDIR)$(LIBDIR)/libwharf.a
	install -m 644 $(HEADERS) $(DESTDIR)$(INCDIR)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCDIR@|$(INCDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' include/wharf.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/wharf.pc

## uninstall  takes away what install put there
uninstall:
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,$(SO) libwharf.so libwharf.a pkgconfig/wharf.pc) \
		$(DESTDIR)$(DEBUGDIR)/$(SO).debug $(addprefix $(DESTDIR)$(INCDIR)/,$(notdir $(HEADERS)))
	rmdir $(DESTDIR)$(DEBUGDIR) 2>/dev/null || true

## clean      takes away what was built
clean:
	rm -rf $(OUT)/static $(OUT)/unwinder.a $(OUT)/no_variable.o $(OUT)/wharf.* $(OUT)/libwharf.* $(OUT)/demo $(OUT)/build $(OUT)/lock $(CARGO_DIR)
	$(CARGO) clean -q

## help       this list
help:
	@sed -n 's/^## /  make /p' Makefile
	@echo "  Variables: TARGET GLIBC CROSS_TARGETS CARGO CC CXX CFLAGS LDFLAGS RUSTFLAGS OUT PREFIX LIBDIR INCDIR DESTDIR"
