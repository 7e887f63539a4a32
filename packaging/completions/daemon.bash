# The few options of @PROGRAM@, for bash.
_@FUNCTION@() {
    case $3 in
    -c | --config) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
    *) mapfile -t COMPREPLY < <(compgen -W '--config --check --version --help' -- "$2") ;;
    esac
}
complete -F _@FUNCTION@ @PROGRAM@
