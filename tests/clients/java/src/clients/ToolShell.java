package clients;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs command line tools one after another in one virtual machine, which spares each its start. Reads a JSON array a line,
 * the tool's class and its arguments, and answers each with a line: {"status": 0, "out": "...", "err": "..."}.
 */
final class ToolShell {
    private static final PrintStream NOWHERE = new PrintStream(OutputStream.nullOutputStream());

    /** What stops a tool that wants to end the virtual machine; some catch it, and say so to nobody. */
    private static final class Ended extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    private static Integer exitStatus;

    static void run() throws Exception {
        Exit.setExitProcedure((status, message) -> {
            if (exitStatus == null) exitStatus = status;
            System.setOut(NOWHERE);
            System.setErr(NOWHERE);
            throw new Ended();
        });
        ObjectMapper json = new ObjectMapper();
        PrintStream answers = System.out;
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = json.readValue(line, String[].class);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setOut(new PrintStream(out, true));
            System.setErr(new PrintStream(err, true));
            int status = run(words);
            answers.println(json.writeValueAsString(Map.of("status", status, "out", out.toString(), "err", err.toString())));
        }
    }

    private static int run(String[] words) throws Exception {
        String[] arguments = new String[words.length - 1];
        System.arraycopy(words, 1, arguments, 0, arguments.length);
        exitStatus = null;
        try {
            Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException error) {
            if (exitStatus == null) {
                error.getCause().printStackTrace();
                return 1;
            }
        }
        return exitStatus == null ? 0 : exitStatus;
    }

    private ToolShell() {}
}
