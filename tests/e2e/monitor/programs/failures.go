// Fails in many ways. Without an argument it recovers from each and prints it as debug.Stack and as runtime.Callers has it, a line of JSON
// each; with the name of a failure it does not recover, and Go prints the panic.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
)

type outOfStock struct{ sku string }

func (e *outOfStock) Error() string { return "none of sku " + e.sku + " is left" }

type code int

type Item struct{ price *int }

type Cart struct {
	items []*Item
	names map[string]int
}

func (c *Cart) Add(item *Item)    { c.items = append(c.items, item); c.names["x"] = *item.price }
func (c Cart) First() *Item       { return c.items[0] }
func (c *Cart) Each(f func(*Item)) { for _, item := range c.items { f(item) } }

type Seller interface{ Sell(id int) string }
type shop struct{ orders []string }

func (s shop) Sell(id int) string { return s.orders[id] }

type audited struct{ Seller }

type Stack[T any] struct{ items []T }

func (s *Stack[T]) Pop() T { item := s.items[len(s.items)-1]; s.items = s.items[:len(s.items)-1]; return item }

func Map[T, U any](items []T, f func(T) U) []U {
	out := make([]U, 0, len(items))
	for _, item := range items {
		out = append(out, f(item))
	}
	return out
}

//go:noinline
func divide(one, by int) int { return one / by }

//go:noinline
func at(items []int, index int) int { return items[index] }

//go:noinline
func load(id int) error { return fmt.Errorf("load %d: %w", id, errors.New("connection refused")) }

//go:noinline
func recurse(depth int) int {
	if depth == 0 {
		return divide(1, 0)
	}
	return recurse(depth-1) + 1
}

//go:noinline
func even(n int) bool {
	if n == 0 {
		return at(nil, 3) > 0
	}
	return odd(n - 1)
}

//go:noinline
func odd(n int) bool { return even(n - 1) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

var failures = map[string]func(){
	"index":      func() { at([]int{1, 2}, 5) },
	"slice":      func() { items := []int{1}; end := len(os.Args) + 5; fmt.Println(items[:end]) },
	"division":   func() { divide(1, 0) },
	"nilPointer": func() { (&Cart{names: map[string]int{}}).Add(&Item{}) },
	"nilMap":     func() { price := 1; (&Cart{}).Add(&Item{&price}) },
	"value":      func() { Cart{}.First() },
	"callback":   func() { (&Cart{items: []*Item{nil}}).Each(func(item *Item) { fmt.Println(*item.price) }) },
	"conversion": func() { var any any = "text"; fmt.Println(any.(int)) },
	"text":       func() { panic("no such order 12") },
	"formatted":  func() { panic(fmt.Sprintf("order %d of %s", 12, "bob")) },
	"errorsNew":  func() { panic(errors.New("plain error")) },
	"wrapped":    func() { must(load(12)) },
	"wrapped2":   func() { must(fmt.Errorf("place: %w", load(12))) },
	"joined":     func() { must(errors.Join(errors.New("one"), errors.New("two"))) },
	"own":        func() { must(&outOfStock{"12"}) },
	"ownWrapped": func() { must(fmt.Errorf("place: %w", &outOfStock{"12"})) },
	"number":     func() { panic(code(12)) },
	"interface":  func() { audited{shop{}}.Sell(3) },
	"absent":     func() { audited{}.Sell(3) },
	"generic":    func() { (&Stack[string]{}).Pop() },
	"mapped":     func() { Map([]int{1, 0}, func(by int) int { return divide(1, by) }) },
	"recursion":  func() { recurse(30) },
	"mutual":     func() { even(30) },
	"sorted":     func() { items := []int{3, 1, 2}; sort.Slice(items, func(i, j int) bool { return at(items, i+9) < at(items, j) }) },
	"closed":     func() { channel := make(chan int); close(channel); close(channel) },
	"sent":       func() { channel := make(chan int, 1); close(channel); channel <- 1 },
	"atoi":       func() { _, err := strconv.Atoi("twelve"); must(err) },
	"once":       func() { var once sync.Once; once.Do(func() { divide(2, 0) }) },
	"deferred":   func() { defer func() { fmt.Fprint(os.Stderr) }(); at(nil, 1) },
	"repanicked": func() {
		defer func() { panic(fmt.Sprint("again: ", recover())) }()
		at(nil, 2)
	},
	"nested":    func() { func() { func() { at(nil, 7) }() }() },
	"methodVal": func() { first := Cart{}.First; first() },
	"reflected": func() { reflect.ValueOf(divide).Call([]reflect.Value{reflect.ValueOf(1), reflect.ValueOf(0)}) },
	"length":    func() { size := -len(os.Args); fmt.Println(make([]int, size)) },
}

type frame struct {
	Function string `json:"function"`
	Module   string `json:"module"`
	File     string `json:"file"`
	AbsPath  string `json:"abs_path"`
	Line     int    `json:"line"`
}
type exception struct {
	Type   string  `json:"type"`
	Value  string  `json:"value"`
	Frames []frame `json:"frames"`
}

func framesOf() []frame {
	counters := make([]uintptr, 200)
	calls := runtime.CallersFrames(counters[:runtime.Callers(1, counters)])
	frames := []frame{}
	for {
		call, more := calls.Next()
		slash := strings.LastIndex(call.Function, "/")
		if at := strings.IndexAny(call.Function, "["); at >= 0 {
			slash = strings.LastIndex(call.Function[:at], "/")
		}
		dot := strings.Index(call.Function[slash+1:], ".") + slash + 1
		frames = append([]frame{{call.Function[dot+1:], call.Function[:dot], call.File, call.File, call.Line}}, frames...)
		if !more {
			return frames
		}
	}
}

func try(name string, fail func(), recovers bool) {
	defer func() {
		if !recovers {
			return
		}
		value := recover()
		kind, chain := "", []exception{}
		if err, ok := value.(error); ok {
			kind = reflect.TypeOf(err).String()
			for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
				chain = append([]exception{{reflect.TypeOf(inner).String(), inner.Error(), nil}}, chain...)
			}
		}
		message := fmt.Sprint(value)
		chain = append(chain, exception{kind, message, framesOf()})
		told := map[string]any{"name": name, "platform": "go", "type": kind, "message": message, "stack": string(debug.Stack()), "exceptions": chain}
		json.NewEncoder(os.Stdout).Encode(told)
	}()
	fail()
}

func main() {
	if len(os.Args) > 1 {
		try(os.Args[1], failures[os.Args[1]], false)
		return
	}
	names := []string{}
	for name := range failures {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		try(name, failures[name], true)
	}
}
