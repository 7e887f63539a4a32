# The few options of @PROGRAM@, for fish.
complete -c @PROGRAM@ -f
complete -c @PROGRAM@ -s c -l config -r -F -d 'read this file'
complete -c @PROGRAM@ -l check -d 'say whether the configuration is good, and end'
complete -c @PROGRAM@ -l version -d 'print the version, and end'
complete -c @PROGRAM@ -s h -l help -d 'print a summary, and end'
