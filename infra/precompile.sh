#!/usr/bin/env bash
# Compiles ahead of time (ReadyToRun) the assemblies that a VM's process starts with, in place: `farm boot` and the child process of each
# VM then start with a third of the compilation. Without the compiler's package nothing happens but a slower start.
#   precompile.sh OUTPUT-FOLDER-OF-CLI
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
bin=$1
cache="$root/.farm/precompile"
[ "$(uname -sm)" = "Linux x86_64" ] || exit 0
mkdir -p "$cache"/{il,new,done}

give_up() { echo "farm: not compiled ahead of time, starts will be slower: $1" >&2; exit 0; }

tools=
for name in Farm.Assist Farm.Machine Farm.Firmware farm Iced System.CommandLine; do
    file="$bin/$name.dll"
    [ -f "$file" ] || continue
    cmp -s "$file" "$cache/done/$name.dll" && continue
    if ! cmp -s "$file" "$cache/il/$name.dll"; then
        if [ -z "$tools" ]; then
            project="$root/infra/precompile/precompile.proj"
            tools="$cache/tools"
            dotnet restore "$project" -v q -nologo >"$cache/log" 2>&1 || give_up "its package could not be had ($cache/log)"
            package=$(dotnet msbuild "$project" -t:Where -nologo | sed -n 's/^ *tools=//p')
            version=$(basename "$(dirname "$package")")
            # Packages carry no permissions.
            [ "$(cat "$tools/version" 2>/dev/null)" = "$version" ] || { rm -rf "$tools" && cp -r "$package" "$tools" && chmod +x "$tools/crossgen2" && echo "$version" >"$tools/version"; } ||
                give_up "its package is not as expected ($package)"
            shared=$(dotnet --list-runtimes | sed -n 's/^Microsoft\.NETCore\.App 10\..* \[\(.*\)\/Microsoft\.NETCore\.App\]$/\1/p' | tail -n 1)
            references=()
            for framework in NETCore AspNetCore; do
                references+=(-r "$(printf '%s\n' "$shared/Microsoft.$framework.App"/10.* | sort -V | tail -n 1)/*.dll")
            done
        fi
        cp "$file" "$cache/new/$name.dll"
        "$tools/crossgen2" "$cache/new/$name.dll" "${references[@]}" -r "$bin/*.dll" --targetos linux --targetarch x64 -O -o "$cache/new/$name.r2r" >"$cache/log" 2>&1 ||
            give_up "$name.dll ($cache/log)"
        mv "$cache/new/$name.r2r" "$cache/done/$name.dll"
        mv "$cache/new/$name.dll" "$cache/il/$name.dll"
    fi
    # Never half a file under a running process.
    cp "$cache/done/$name.dll" "$file.new" && mv "$file.new" "$file"
done
