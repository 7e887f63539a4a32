#compdef @PROGRAM@
# The few options of @PROGRAM@, for zsh.
_arguments \
    '(-c --config)'{-c,--config}'[read this file]:file:_files' \
    '--check[say whether the configuration is good, and end]' \
    '(- *)--version[print the version, and end]' \
    '(- *)'{-h,--help}'[print a summary, and end]'
