// Oracle prints what kubectl reads in each file that is named: one line of JSON for each document, in order, or the line
// "error" where it reads no further.
//
// The expected outputs beside the corpus in tests/yaml come from it; regenerate.sh writes them.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	for _, name := range os.Args[1:] {
		text, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := os.WriteFile(name[:len(name)-len(".yaml")]+".jsonl", read(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func read(text []byte) []byte {
	var out bytes.Buffer
	// As resource.StreamVisitor of k8s.io/cli-runtime does it.
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var document runtime.RawExtension
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return out.Bytes()
		} else if err != nil {
			out.WriteString("error\n")
			return out.Bytes()
		}
		raw := bytes.TrimSpace(document.Raw)
		if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
			continue
		}
		if err := json.Compact(&out, raw); err != nil {
			out.WriteString("error")
		}
		out.WriteByte('\n')
	}
}
