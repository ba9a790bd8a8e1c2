// Fails in many ways, and prints each as the JVM prints it and as its own stack trace elements, a line of JSON each.
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;

public class Failures {
    interface Step { void run() throws Throwable; }
    interface Shop { String place(String order); }

    static class OutOfStock extends Exception {
        OutOfStock(String message) { super(message); }
        OutOfStock(String message, Throwable cause) { super(message, cause); }
    }
    static class Payment extends RuntimeException {
        Payment(String message, Throwable cause) { super(message, cause); }
        @Override public String toString() { return "Failures$Payment: " + getMessage(); }
    }
    static class Shelf<T> implements Iterable<T> {
        final List<T> items = new ArrayList<>();
        T take(int at) { return items.get(at); }
        public Iterator<T> iterator() { return items.iterator(); }
        class Row { T at(int at) { return Shelf.this.take(at); } }
    }
    static abstract class Rule {
        abstract long apply(long price);
        static Rule of(Function<Long, Long> how) { return new Rule() { long apply(long price) { return how.apply(price); } }; }
    }
    enum Kind { SHOE, HAT }
    record Order(int id, String sku) {
        Order { if (id < 0) throw new IllegalArgumentException("order " + id + " is negative"); }
    }
    static class Closing implements AutoCloseable {
        public void close() { throw new IllegalStateException("cannot close"); }
    }
    static class Early { static final int SIZE = divide(1, 0); }

    static int divide(int one, int by) { return one / by; }
    static int length(String text) { return text.length(); }
    static int recurse(int depth) { return depth == 0 ? divide(1, 0) : recurse(depth - 1); }
    static boolean even(int n) { return n == 0 ? length(null) > 0 : odd(n - 1); }
    static boolean odd(int n) { return even(n - 1); }
    static int endless() { return endless() + 1; }
    static void caused() throws OutOfStock {
        try { divide(1, 0); } catch (ArithmeticException error) { throw new OutOfStock("no rate", error); }
    }

    static final Map<String, Step> ALL = new LinkedHashMap<>();

    static void fill() {
        ALL.put("arithmetic", () -> divide(1, 0));
        ALL.put("nothing", () -> length(null));
        ALL.put("index", () -> new Shelf<String>().take(3));
        ALL.put("array", () -> { int[] sizes = new int[2]; sizes[5] = 1; });
        ALL.put("cast", () -> { Object text = "12"; Integer number = (Integer) text; });
        ALL.put("number", () -> Integer.parseInt("twelve"));
        ALL.put("own", () -> { throw new OutOfStock("none of sku 12 is left"); });
        ALL.put("linesOfMessage", () -> { throw new IllegalStateException("first line\n  second: line\nlast"); });
        ALL.put("caused", Failures::caused);
        ALL.put("causedTwice", () -> { try { caused(); } catch (OutOfStock error) { throw new Payment("cannot pay", error); } });
        ALL.put("innerClass", () -> { Shelf<Integer> shelf = new Shelf<>(); shelf.new Row().at(1); });
        ALL.put("anonymousClass", () -> Rule.of(price -> price / 0).apply(12));
        ALL.put("lambda", () -> { Supplier<Integer> supplier = () -> divide(2, 0); supplier.get(); });
        ALL.put("methodReference", () -> Stream.of("a", null).mapToInt(Failures::length).sum());
        ALL.put("stream", () -> Stream.of(1, 0).map(by -> divide(1, by)).toList());
        ALL.put("optional", () -> Optional.empty().orElseThrow());
        ALL.put("enumeration", () -> Kind.valueOf("GLOVE"));
        ALL.put("record", () -> new Order(-1, "a"));
        ALL.put("recursion", () -> recurse(30));
        ALL.put("mutual", () -> even(30));
        ALL.put("endless", () -> endless());
        ALL.put("iteration", () -> { List<Integer> numbers = new ArrayList<>(List.of(1, 2, 3)); for (int number : numbers) numbers.remove(0); });
        ALL.put("immutable", () -> List.of(1).add(2));
        ALL.put("suppressed", () -> { try (Closing closing = new Closing()) { divide(1, 0); } });
        ALL.put("initializer", () -> System.out.println(Early.SIZE));
        ALL.put("future", () -> CompletableFuture.supplyAsync(() -> divide(1, 0)).get());
        ALL.put("pool", () -> { var pool = Executors.newSingleThreadExecutor(); try { pool.submit(() -> length(null)).get(); } finally { pool.shutdown(); } });
        ALL.put("reflection", () -> Failures.class.getDeclaredMethod("recurse", int.class).invoke(null, 3));
        ALL.put("proxy", () -> {
            InvocationHandler handler = (proxy, method, given) -> { throw new OutOfStock("by proxy"); };
            ((Shop) Proxy.newProxyInstance(Failures.class.getClassLoader(), new Class<?>[] {Shop.class}, handler)).place("a");
        });
        ALL.put("missingFile", () -> Files.readString(Path.of("/nowhere/at/all")));
        ALL.put("missingClass", () -> Class.forName("com.shop.Missing"));
        ALL.put("assertion", () -> { throw new AssertionError("there is stock"); });
        ALL.put("withoutMessage", () -> { throw new UnsupportedOperationException(); });
        ALL.put("local", () -> { class Local { void go() { throw new IllegalStateException("of a local class"); } } new Local().go(); });
    }

    static String quoted(String text) {
        if (text == null) return "\"\"";
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        return out.append('"').toString();
    }

    static String exceptionOf(Throwable error) {
        StringBuilder frames = new StringBuilder();
        StackTraceElement[] elements = error.getStackTrace();
        for (int i = elements.length - 1; i >= 0; i--) {
            StackTraceElement element = elements[i];
            if (frames.length() > 0) frames.append(',');
            frames.append("{\"function\":" + quoted(element.getMethodName()) + ",\"module\":" + quoted(element.getClassName())
                + ",\"file\":" + quoted(element.getFileName()) + ",\"line\":" + Math.max(element.getLineNumber(), 0) + "}");
        }
        String name = error.getClass().getName();
        int dot = name.lastIndexOf('.');
        return "{\"type\":" + quoted(name.substring(dot + 1)) + ",\"module\":" + quoted(dot < 0 ? "" : name.substring(0, dot))
            + ",\"value\":" + quoted(error.getMessage()) + ",\"frames\":[" + frames + "]}";
    }

    public static void main(String[] given) throws Exception {
        fill();
        for (Map.Entry<String, Step> entry : ALL.entrySet()) {
            Throwable error = null;
            try { entry.getValue().run(); } catch (Throwable thrown) { error = thrown; }
            if (error == null) throw new IllegalStateException(entry.getKey() + " does not fail");
            StringWriter text = new StringWriter();
            error.printStackTrace(new PrintWriter(text));
            List<String> chain = new ArrayList<>();
            for (Throwable one = error; one != null; one = one.getCause()) chain.add(0, exceptionOf(one));
            System.out.println("{\"name\":" + quoted(entry.getKey()) + ",\"platform\":\"java\",\"type\":" + quoted(error.getClass().getName())
                + ",\"message\":" + quoted(error.getMessage()) + ",\"text\":" + quoted(text.toString())
                + ",\"exceptions\":[" + String.join(",", chain) + "]}");
        }
    }
}
