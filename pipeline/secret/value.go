// Package secret holds secret values and finds them on the deployer's machine:
// in files beside the project, in the environment, from a command (Source). A
// Value never prints itself; Version names one without telling it; Redactor
// keeps values out of text that other programs wrote.
package secret

import "log/slog"

const redacted = "[secret]"

// Value is a secret. Every way of printing it gives "[secret]"; only Reveal
// gives the text.
type Value struct{ text string }

// NewValue wraps text.
func NewValue(text string) Value { return Value{text} }

// Reveal returns the text itself.
func (v Value) Reveal() string { return v.text }

// String returns "[secret]".
func (Value) String() string { return redacted }

// GoString returns "[secret]", for %#v.
func (Value) GoString() string { return redacted }

// LogValue returns "[secret]", for log/slog.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON gives "[secret]".
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText gives "[secret]".
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
