"""How the mail catcher keeps mails: each as it came, after a line with its recipients."""

ENVELOPE_TO = "X-Envelope-To"
SUFFIX = ".eml"
