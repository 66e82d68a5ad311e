import type { CompletedCommand, Values } from './completion-spec.js';

/** Scripts that complete `polder` in a shell; they start no process while one types. */
export type Shell = 'bash' | 'zsh' | 'fish';

/** The script for a shell. */
export function completionScript(shell: Shell, commands: readonly CompletedCommand[]): string {
  if (shell === 'bash') return bashScript(commands);
  return shell === 'zsh' ? zshScript(commands) : fishScript(commands);
}

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** What a table says of a place: `<files>`, `<runs>`, `<anything>`, or words; a list begins with a comma. */
function entry(values: Values): string {
  if (values.kind !== 'words') return `<${values.kind}>`;
  return `${values.list ? ', ' : ''}${values.words.join(' ')}`;
}

/** Arms of a shell's `case`, those of one answer together. */
function arms(answers: readonly (readonly [pattern: string, answer: string])[]): string {
  const patterns = new Map<string, string[]>();
  for (const [pattern, answer] of answers) patterns.set(answer, [...(patterns.get(answer) ?? []), quoted(pattern)]);
  return [...patterns].map(([answer, of]) => `    ${of.join('|')}) echo ${quoted(answer)} ;;`).join('\n');
}

/** Tables that bash and zsh share: plain POSIX shell. */
function tables(commands: readonly CompletedCommand[]): string {
  const paths = commands.flatMap(({ path }) => (path === '' ? [] : [quoted(path)]));
  return `# The command that the words so far name: "data corrupt".
_polder_command() {
  _polder_path=''
  for _polder_word in "$@"; do
    case "\${_polder_path:+$_polder_path }$_polder_word" in
    ${paths.join('|')}) _polder_path="\${_polder_path:+$_polder_path }$_polder_word" ;;
    esac
  done
  echo "$_polder_path"
}

# What a flag of a command takes; nothing for a flag without a value.
_polder_values() {
  case "$1 $2" in
${arms(commands.flatMap(({ path, flags }) => flags.flatMap(({ name, values }) => (values === undefined ? [] : [[`${path} ${name}`, entry(values)] as const]))))}
  esac
}

# What a command takes besides flags.
_polder_argument() {
  case "$1" in
${arms(commands.flatMap(({ path, argument }) => (argument === undefined ? [] : [[path, entry(argument)] as const])))}
  esac
}`;
}

function bashScript(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ path, commands: inner }) => [path, inner.map(({ name }) => name).join(' ')] as const);
  const flags = commands.map(({ path, flags: own }) => [path, own.map(({ name }) => name).join(' ')] as const);
  return `# bash completion of polder: polder completion bash > ~/.local/share/bash-completion/completions/polder
${tables(commands)}

_polder_commands() {
  case "$1" in
${arms(names.filter(([, inner]) => inner !== ''))}
  esac
}

_polder_flags() {
  case "$1" in
${arms(flags)}
  esac
}

# Offers what an entry of a table says, for the word $2.
_polder_offer() {
  local IFS=$' \\t\\n' head=''
  case "$1" in
    '<files>') compopt -o filenames 2>/dev/null; IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$2")) ;;
    '<runs>') compopt -o filenames 2>/dev/null; IFS=$'\\n'; COMPREPLY=($(compgen -d -- "\${2:-runs/}")) ;;
    '<anything>') COMPREPLY=() ;;
    ', '*)
      [[ $2 == *,* ]] && head="\${2%,*},"
      compopt -o nospace 2>/dev/null
      COMPREPLY=($(compgen -P "$head" -W "\${1#, }" -- "\${2##*,}")) ;;
    *) COMPREPLY=($(compgen -W "$1" -- "$2")) ;;
  esac
}

_polder() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD - 1]}" command values
  # bash breaks words at "=": --policy = sam
  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev="\${COMP_WORDS[COMP_CWORD - 2]}"; fi
  command=$(_polder_command "\${COMP_WORDS[@]:1:COMP_CWORD-1}")
  COMPREPLY=()
  values=$(_polder_values "$command" "$prev")
  if [[ -n $values ]]; then
    _polder_offer "$values" "$cur"
  elif [[ $cur == -* ]]; then
    _polder_offer "$(_polder_flags "$command")" "$cur"
  else
    values=$(_polder_argument "$command")
    if [[ -n $values ]]; then _polder_offer "$values" "$cur"; else _polder_offer "$(_polder_commands "$command")" "$cur"; fi
  fi
}
complete -F _polder polder
`;
}

function zshScript(commands: readonly CompletedCommand[]): string {
  const described = (items: readonly { readonly name: string; readonly about: string }[]): string =>
    items.map(({ name, about }) => quoted(`${name}:${brief(about)}`)).join(' ');
  const cases = (
    of: (command: CompletedCommand) => readonly { readonly name: string; readonly about: string }[],
  ): string =>
    commands
      .flatMap((command) =>
        of(command).length === 0 ? [] : [`    ${quoted(command.path)}) items=(${described(of(command))}) ;;`],
      )
      .join('\n');
  return `#compdef polder
# zsh completion of polder: polder completion zsh > ~/.zfunc/_polder, with ~/.zfunc in fpath
${tables(commands)}

# Offers what an entry of a table says.
_polder_offer() {
  case "$1" in
    '<files>') _files ;;
    '<runs>') if [[ -z $PREFIX && -d runs ]]; then compadd -f -- runs/*(/N); else _files; fi ;;
    '<anything>') ;;
    ', '*) compset -P '*,'; compadd -S '' -- \${=1#, } ;;
    *) compadd -- \${=1} ;;
  esac
}

_polder() {
  local command values
  local -a items
  command=$(_polder_command "\${(@)words[2,CURRENT-1]}")
  if [[ $PREFIX == --*=* ]]; then
    values=$(_polder_values "$command" "\${PREFIX%%=*}")
    compset -P '*='
  else
    values=$(_polder_values "$command" "\${words[CURRENT-1]}")
  fi
  if [[ -n $values ]]; then
    _polder_offer "$values"
  elif [[ $PREFIX == -* ]]; then
    case "$command" in
${cases(({ flags }) => flags)}
    esac
    _describe flag items
  else
    values=$(_polder_argument "$command")
    if [[ -n $values ]]; then
      _polder_offer "$values"
      return
    fi
    case "$command" in
${cases(({ commands: inner }) => inner)}
    esac
    _describe command items
  fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _polder "$@"; else compdef _polder polder; fi
`;
}

function fishScript(commands: readonly CompletedCommand[]): string {
  const paths = commands.flatMap(({ path }) => (path === '' ? [] : [quoted(path)]));
  const at = (path: string): string => `-n ${quoted(`__polder_at ${quoted(path)}`)}`;
  const lines = commands.flatMap(({ path, commands: inner, flags, argument }) => [
    ...inner.map(({ name, about }) => `complete -c polder ${at(path)} -a ${name} -d ${quoted(brief(about))}`),
    ...(argument === undefined ? [] : [`complete -c polder ${at(path)} ${fishValues(argument)}`]),
    ...flags.map(({ name, about, values }) => {
      const takes = values === undefined ? '' : `${values.kind === 'files' ? '-r' : '-x'} ${fishValues(values)} `;
      return `complete -c polder ${at(path)} -l ${name.slice(2)} ${takes}-d ${quoted(brief(about))}`;
    }),
  ]);
  return `# fish completion of polder: polder completion fish > ~/.config/fish/completions/polder.fish
function __polder_at
    set -l path ''
    for word in (commandline -opc)[2..]
        set -l longer (string trim -- "$path $word")
        switch $longer
            case ${paths.join(' ')}
                set path $longer
        end
    end
    test "$path" = "$argv[1]"
end
function __polder_list
    set -l head (string replace -r '^--[^=]*=' '' -- (commandline -ct) | string replace -r '[^,]*$' '')
    printf '%s\\n' $head$argv
end
function __polder_runs
    set -l word (commandline -ct)
    test -n "$word"; or set word runs/
    __fish_complete_directories $word
end
complete -c polder -f
${lines.join('\n')}
`;
}

function fishValues(values: Values): string {
  if (values.kind === 'words') {
    const words = values.words.join(' ');
    return `-a ${quoted(values.list ? `(__polder_list ${words})` : words)}`;
  }
  return { files: '-F', runs: "-a '(__polder_runs)'", anything: '' }[values.kind];
}

/** As much of a description as fits beside a word. */
function brief(text: string): string {
  const line = text.replaceAll(/[\s]+/g, ' ');
  return line.length <= 70 ? line : `${line.slice(0, 69)}…`;
}
