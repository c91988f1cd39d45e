import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.InvalidOffsetException;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads topics as a subscriber does, with Kafka's own client and read_committed, and prints what it sees. It shares no
 * code with Duolog, so that neither the client's defects nor its corrections can hide anything.
 *
 * Standard input, one line each:
 *   assign TOPIC …   read these topics (partition 0), new ones from their start; of "#TOPIC" without key and value
 *   sync N           say "s N" once all that is committed now has been printed
 * Standard output, fields apart by tabs; "-" stands for nothing:
 *   r TOPIC OFFSET MILLISECONDS KEY VALUE     a record, key and value in base64
 *   s N
 *   g TOPIC                                   its records were deleted before they could be read
 */
public final class Witness {
  private final KafkaConsumer<byte[], byte[]> consumer;
  private final PrintStream out;
  private final Set<String> withoutValues = new HashSet<>();
  private final Map<String, Map<TopicPartition, Long>> syncs = new LinkedHashMap<>();

  private Witness(String brokers, PrintStream out) {
    this.out = out;
    Properties properties = new Properties();
    properties.put("bootstrap.servers", brokers);
    properties.put("isolation.level", "read_committed");
    properties.put("enable.auto.commit", "false");
    properties.put("auto.offset.reset", "none");
    properties.put("allow.auto.create.topics", "false");
    properties.put("fetch.max.wait.ms", "100");
    properties.put("reconnect.backoff.max.ms", "200");
    properties.put("metadata.max.age.ms", "5000");
    properties.put("default.api.timeout.ms", "5000");
    properties.put("request.timeout.ms", "4000");
    properties.put("max.poll.records", "2000");
    consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, StandardCharsets.UTF_8);
    BlockingQueue<String> lines = new LinkedBlockingQueue<>();
    Thread reader = new Thread(() -> readLines(lines));
    reader.setDaemon(true);
    reader.start();
    new Witness(arguments[0], out).run(lines);
  }

  private static void readLines(BlockingQueue<String> lines) {
    try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String line = in.readLine(); line != null; line = in.readLine()) lines.add(line);
    } catch (java.io.IOException ended) {
      // The same as an end.
    }
    // Nobody listens any more.
    Runtime.getRuntime().halt(0);
  }

  private void run(BlockingQueue<String> lines) throws InterruptedException {
    while (true) {
      boolean idle = consumer.assignment().isEmpty();
      String line = idle ? lines.take() : lines.poll();
      try {
        if (line != null) obey(line);
        if (!consumer.assignment().isEmpty()) read();
        answer();
      } catch (InvalidOffsetException trimmed) {
        for (TopicPartition each : trimmed.partitions()) out.print("g\t" + each.topic() + "\n");
        consumer.seekToBeginning(trimmed.partitions());
      } catch (KafkaException away) {
        // The broker is gone for a while, which is what is being tried.
        if (line != null) lines.add(line);
        Thread.sleep(50);
      }
      out.flush();
    }
  }

  private void obey(String line) {
    String[] words = line.split(" ");
    if (words[0].equals("assign")) assign(words);
    else syncs.put(words[1], new HashMap<>(consumer.endOffsets(consumer.assignment())));
  }

  private void assign(String[] words) {
    withoutValues.clear();
    List<TopicPartition> wanted = new ArrayList<>();
    for (int at = 1; at < words.length; at++) {
      boolean counted = words[at].startsWith("#");
      String topic = counted ? words[at].substring(1) : words[at];
      if (counted) withoutValues.add(topic);
      wanted.add(new TopicPartition(topic, 0));
    }
    Set<TopicPartition> before = consumer.assignment();
    List<TopicPartition> added = wanted.stream().filter((each) -> !before.contains(each)).toList();
    consumer.assign(wanted);
    consumer.seekToBeginning(added);
  }

  private void read() {
    Base64.Encoder base64 = Base64.getEncoder();
    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(50))) {
      boolean counted = withoutValues.contains(record.topic());
      String key = counted || record.key() == null ? "-" : base64.encodeToString(record.key());
      String value = counted || record.value() == null ? "-" : base64.encodeToString(record.value());
      out.print(
          "r\t" + record.topic() + "\t" + record.offset() + "\t" + record.timestamp() + "\t" + key + "\t" + value + "\n");
    }
  }

  private void answer() {
    for (var syncing = syncs.entrySet().iterator(); syncing.hasNext(); ) {
      Map.Entry<String, Map<TopicPartition, Long>> sync = syncing.next();
      boolean reached = true;
      for (Map.Entry<TopicPartition, Long> end : sync.getValue().entrySet()) {
        if (!consumer.assignment().contains(end.getKey())) continue;
        if (consumer.position(end.getKey()) < end.getValue()) reached = false;
      }
      if (!reached) continue;
      out.print("s\t" + sync.getKey() + "\n");
      syncing.remove();
    }
  }
}
