"""What both sample clients share: settings, transport, responses, errors, the command line; and the sandbox."""
