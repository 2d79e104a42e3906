package clients;

import java.util.Objects;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** Runs cases and reports them: a line each, then the totals. */
final class Report {
    interface Case {
        void run() throws Exception;
    }

    private final String only;
    private int passed;
    private int failed;

    /** Runs the cases whose name contains `only`. */
    Report(String only) {
        this.only = only;
    }

    void run(String name, Case body) {
        if (!name.contains(only)) return;
        long start = System.nanoTime();
        try {
            body.run();
        } catch (Exception | AssertionError error) {
            failed++;
            Throwable cause = cause(error);
            System.out.println("java: FAIL " + name + ": " + cause.getClass().getSimpleName() + ": " + cause.getMessage());
            if (!(cause instanceof AssertionError)) cause.printStackTrace();
            return;
        }
        passed++;
        System.out.println("java: ok " + name + " (" + (System.nanoTime() - start) / 1_000_000 + " ms)");
    }

    /** Prints the totals; the exit status of the suite. */
    int finish() {
        System.out.println("java: " + passed + " passed, " + failed + " failed");
        return failed == 0 && passed > 0 ? 0 : 1;
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) throw new AssertionError(otherwise);
    }

    static void equal(Object actual, Object expected, String what) {
        if (!Objects.equals(actual, expected)) throw new AssertionError(what + ": expected " + expected + ", got " + actual);
    }

    interface Reading<T> {
        T read() throws Exception;
    }

    /** Repeats the reading until it is as expected: what a controller has decided reaches the metadata a moment later. */
    static <T> void eventually(Reading<T> reading, T expected, String what) throws Exception {
        long deadline = System.nanoTime() + 5_000_000_000L;
        while (true) {
            try {
                equal(reading.read(), expected, what);
                return;
            } catch (Exception | AssertionError notYet) {
                if (System.nanoTime() > deadline) throw notYet;
                Thread.sleep(20);
            }
        }
    }

    /** Asserts that the body fails with this class of error, which it returns. */
    static <E extends Throwable> E refused(Class<E> expected, Case body) throws Exception {
        try {
            body.run();
        } catch (Exception error) {
            Throwable cause = cause(error);
            if (expected.isInstance(cause)) return expected.cast(cause);
            throw new AssertionError("expected " + expected.getSimpleName() + ", got " + cause, cause);
        }
        throw new AssertionError("expected " + expected.getSimpleName() + ", but it succeeded");
    }

    private static Throwable cause(Throwable error) {
        boolean wraps = error instanceof ExecutionException || error instanceof CompletionException;
        return wraps && error.getCause() != null ? error.getCause() : error;
    }
}
