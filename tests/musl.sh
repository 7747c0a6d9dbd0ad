#!/bin/sh
# Debian's musl for a CPU that is not this machine's, and compilers for it by those for glibc:
#   tests/musl.sh DEBIAN'S-NAME CPU DIR     leaves DIR/bin/CPU-linux-musl-gcc, -nm, ..., and what an emulator runs by, DIR/root
# Nothing outside of DIR changes.
set -eu
arch=$1 cpu=$2
mkdir -p "$3"
dir=$(cd "$3" && pwd)
tools=$cpu-linux-musl
[ -x "$dir/bin/$tools-gcc" ] && exit

lists=$dir/lists root=$dir/root
rm -rf "$root"
mkdir -p "$lists/partial" "$root/lib" "$dir/bin"
apt() {
    apt-get -qq -o APT::Architectures::="$arch" -o Dir::State::lists="$lists" -o APT::Sandbox::User=root "$@"
}
apt update
(cd "$dir" && apt download "musl:$arch" "musl-dev:$arch")
for package in "$dir"/*.deb; do
    dpkg -x "$package" "$root"
done
# Where the compiler looks for it, and where programs do.
ln -sf "../../../lib/$tools/libc.so" "$root/usr/lib/$tools/libc.so"
ln -sf "$tools/libc.so" "$root/lib/ld-musl-$cpu.so.1"

specs=$root/usr/lib/$tools/musl-gcc.specs
sed -i "s|/usr/|$root/usr/|g" "$specs"
for tool in nm objcopy strip ar; do
    ln -sf "$(command -v "$cpu-linux-gnu-$tool")" "$dir/bin/$tools-$tool"
done
# The compiler's own functions for atomics ask glibc for what the processor has. Between segments on pages of 64 KiB, musl's
# loader leaves mapped what lies behind the file's end: the emulator dies where that is looked at.
cat > "$dir/bin/$tools-gcc" << END
#!/bin/sh
exec $cpu-linux-gnu-gcc -mno-outline-atomics -Wl,-z,max-page-size=4096 "\$@" -specs "$specs"
END
chmod +x "$dir/bin/$tools-gcc"
