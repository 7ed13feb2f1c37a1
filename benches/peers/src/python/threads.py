"""Does with Python's own means what the threads of `compare` do: THREADS threads log EVENTS events each through a QueueHandler,
and a QueueListener writes them to a file.

Prints the callers' CPU and wall time, the CPU of all threads, in nanoseconds an event, and the lines a second.
"""

import logging
import logging.handlers
import queue
import sys
import threading
import time

THREADS, EVENTS, PATH = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def work(start, figures):
    logger = logging.getLogger("send_email")
    start.wait()
    cpu, wall = time.thread_time(), time.perf_counter()
    for _ in range(EVENTS):
        logger.info('Connecting to SMTP server host="%s" port=%d', "smtp.example.com", 25)
    figures.append((time.thread_time() - cpu, time.perf_counter() - wall))


def main():
    lines, start, figures = queue.Queue(), threading.Barrier(THREADS + 1), []
    logger = logging.getLogger("send_email")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.handlers.QueueHandler(lines))
    file = logging.FileHandler(PATH)
    form = "[%(threadName)s] [%(name)s] %(asctime)s %(message)s"
    file.setFormatter(logging.Formatter(form, datefmt="%Y-%m-%dT%H:%M:%S"))
    listener = logging.handlers.QueueListener(lines, file)
    listener.start()
    threads = [threading.Thread(target=work, args=(start, figures), name="abc12345") for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    began, cpu = time.perf_counter(), time.process_time()
    start.wait()
    for thread in threads:
        thread.join()
    listener.stop()
    file.close()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    count = THREADS * EVENTS
    caller, wall = (sum(seconds_of) / count * 1e9 for seconds_of in zip(*figures))
    print(caller, wall, cpu / count * 1e9, count / seconds)


main()
