"""Ctrl-C counts also where the suite runs as a background job, which a shell starts with Ctrl-C ignored."""
import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
