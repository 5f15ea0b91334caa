"""What both sample clients share: settings, transport, answers, errors, the command line; and the sandbox."""
