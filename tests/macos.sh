#!/bin/sh
# Called by `make check-macos`: tests/macos.sh CPU VERSION MACOS_VERSION DIRECTORY
set -eu
cpu=$1 version=$2 macos=$3 dir=$4
target=$cpu-apple-darwin
arch=$cpu
[ "$cpu" = aarch64 ] && arch=arm64
out=$dir/$cpu
dylib=$out/libwharf.0.dylib
mkdir -p "$out"

wrong() {
    echo "wharf: $target: $1" >&2
    exit 1
}

# Not the release's profile: what is looked at is the same, in a tenth of the time.
export MACOSX_DEPLOYMENT_TARGET=$macos
$CARGO check -q --lib --target "$target" --target-dir "$dir/cargo"
$CARGO rustc -q --lib --crate-type staticlib --target "$target" --target-dir "$dir/cargo" \
    --config profile.dev.debug=false --config profile.dev.opt-level=1

sed 's/arm64e\.x1/arm64/g' "$STUBS" > "$out/libSystem.tbd"
echo '_wharf_*' > "$out/exports"
# The interface's functions are the roots.
sed -n 's/^pub .*fn \(wharf_[a-z_]*\).*/_\1/p' src/ffi/*.rs | sort -u > "$out/wanted"
roots=$(sed 's/^/-u /' "$out/wanted" | tr '\n' ' ')
# shellcheck disable=SC2086 # One word each.
"$LD" -flavor darwin -arch "$arch" -platform_version macos "$macos" "$macos" -dylib -dead_strip -fixup_chains $roots \
    -install_name @rpath/libwharf.0.dylib -current_version "$version" -compatibility_version "${version%.*}" \
    -exported_symbols_list "$out/exports" -o "$dylib" "$dir/cargo/$target/debug/libwharf.a" "$out/libSystem.tbd"

"$NM" -gUj "$dylib" | sort > "$out/exported"
cmp -s "$out/wanted" "$out/exported" || wrong "exports: $(diff "$out/wanted" "$out/exported" | tr '\n' ' ')"
"$OTOOL" -D "$dylib" | grep -qx '@rpath/libwharf.0.dylib' || wrong "another install name"
"$OTOOL" -L "$dylib" | grep -q "compatibility version ${version%.*}.0, current version $version" || wrong "another version"
[ "$("$OTOOL" -L "$dylib" | grep -c '^	')" -eq 2 ] || wrong "needs more than the system's library"
for section in __unwind_info __eh_frame; do
    "$OTOOL" -l "$dylib" | grep -q "sectname $section" || wrong "no $section"
done
"$OTOOL" -tV "$dylib" > "$out/code"
# The switch: in one piece, each of its functions with unwind information of its own.
set -- ___morestack ___wharf_call_here ___wharf_switch_end
# The end may be the next function's start.
"$NM" -n "$dylib" | sed 's/.* . //' | grep -A3 -x "$1" | tr '\n' ' ' | grep -qE "^$1 $2 ([^ ]+ )?$3 " ||
    wrong "the switch is in pieces"
"$OBJDUMP" --macho --unwind-info "$dylib" > "$out/unwind"
for name in "$1" "$2"; do
    addr=$("$NM" "$dylib" | sed -n "s/^0*\([0-9a-f]*\) t $name\$/\1/p")
    grep "offset=0x0*$addr, " "$out/unwind" | grep -qv 'encoding=0x00000000' || wrong "$name cannot be unwound"
done
code() {
    sed -n "/^$1:/,/^_[A-Za-z]/p" "$out/code"
}
case $cpu in
    x86_64) moves='movq	%rdx, %rsp' stores='movq	%rsp, (%rcx)' ;;
    *) moves='mov	sp, x2' stores='str	x29, \[x3\]' ;;
esac
code ___morestack | grep "$stores" > "$out/found" || wrong "the switch does not tell where it left the stack"
code ___morestack | grep "$moves" > "$out/found" || wrong "the switch does not change stacks"
echo "wharf: $target: type-checked and linked, $(wc -l < "$out/exported") exports, $(wc -c < "$dylib") bytes; not run"
