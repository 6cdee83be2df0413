%% SPDX-License-Identifier: Apache-2.0
%% @doc In a helper Python behaves as in an ordinary process.
-module(py_python_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [argv_and_main, executable, subprocess, multiprocessing_spawn, multiprocessing_fork,
     threads_run_between_calls, signal_handlers, there_is_no_standard_input,
     descriptors_are_its_own, modules_of_one_context_are_its_own].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{}),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    ok = py_context:stop(context(Config)),
    ?assertEqual([], py_ct:mailbox()).

context(Config) ->
    proplists:get_value(context, Config).

run(Config, Lines) ->
    ok = py:exec(context(Config), lists:join("\n", Lines)).

value(Config, Code) ->
    {ok, Value} = py:eval(context(Config), Code),
    Value.

argv_and_main(Config) ->
    run(Config, ["import sys", "def here(): return __name__"]),
    ?assertEqual([<<>>], value(Config, "sys.argv")),
    ?assertEqual({ok, <<"__main__">>}, py:call(context(Config), '__main__', here, [])),
    ?assertEqual(true, value(Config, "sys.modules['__main__'].here is here")).

%% The interpreter itself, not our program: what starts it again gets Python.
executable(Config) ->
    run(Config, ["import subprocess, sys"]),
    Code = "subprocess.check_output([sys.executable, '-c', "
           "'import sys; print(sys.version_info[:2])'], text=True).strip()"
           " == str(tuple(sys.version_info[:2]))",
    ?assertEqual(true, value(Config, Code)).

subprocess(Config) ->
    run(Config, ["import subprocess",
                 "r = subprocess.run(['sh', '-c', 'cat; exit 7'], input='in', text=True,"
                 " capture_output=True)"]),
    ?assertEqual({<<"in">>, 7}, value(Config, "(r.stdout, r.returncode)")).

multiprocessing_spawn(Config) ->
    run(Config, ["import math, multiprocessing",
                 "with multiprocessing.get_context('spawn').Pool(2) as pool:",
                 "    roots = pool.map(math.sqrt, [4, 9, 16])"]),
    ?assertEqual([2.0, 3.0, 4.0], value(Config, "roots")).

%% With fork also what was defined by exec is there.
multiprocessing_fork(Config) ->
    run(Config, ["import multiprocessing", "def double(x): return 2 * x",
                 "with multiprocessing.get_context('fork').Pool(2) as pool:",
                 "    doubled = pool.map(double, [1, 2, 3])"]),
    ?assertEqual([2, 4, 6], value(Config, "doubled")).

threads_run_between_calls(Config) ->
    run(Config, ["import threading, time", "ticks = 0",
                 "def tick():", "    global ticks",
                 "    while True:", "        ticks += 1", "        time.sleep(0.001)",
                 "threading.Thread(target=tick, daemon=True).start()"]),
    Before = value(Config, "ticks"),
    py_ct:eventually(fun() -> value(Config, "ticks") > Before + 10 end).

signal_handlers(Config) ->
    run(Config, ["import os, signal", "seen = []",
                 "signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))",
                 "os.kill(os.getpid(), signal.SIGUSR1)"]),
    ?assertEqual(true, value(Config, "seen == [signal.SIGUSR1]")),
    %% Also one that comes while nothing runs.
    os:cmd("kill -USR1 " ++ integer_to_list(py_ct:helper_pid(context(Config)))),
    py_ct:eventually(fun() -> value(Config, "len(seen)") =:= 2 end).

%% And says so; a child process finds an empty one.
there_is_no_standard_input(Config) ->
    {error, {"UnsupportedOperation", _}} =
        py:eval(context(Config), "__import__('sys').stdin.read()"),
    {error, {"UnsupportedOperation", _}} = py:eval(context(Config), "input()"),
    ?assertEqual(<<>>, value(Config, "__import__('subprocess').check_output(['cat'])")).

%% No descriptor of a sibling, of the zygote or of the VM.
descriptors_are_its_own(Config) ->
    run(Config, ["import os",
                 "def kind(fd):", "    try: return os.readlink(f'/proc/self/fd/{fd}')",
                 "    except OSError: return ''",
                 "kinds = [kind(fd).split(':')[0] for fd in os.listdir('/proc/self/fd')]"]),
    %% Of standard error there is a copy, for backtraces; descriptors have a socket of
    %% their own.
    ?assertEqual({2, 3, 0},
                 value(Config, "(kinds.count('socket'), kinds.count('pipe'),"
                               " kinds.count('anon_inode'))")).

modules_of_one_context_are_its_own(Config) ->
    run(Config, ["import os, string, sys", "string.mark = 1", "os.environ['MARK'] = '1'",
                 "os.chdir('/')", "sys.modules['made_up'] = string"]),
    {ok, Other} = py_context:new(#{}),
    ?assertEqual({ok, {false, none, false}},
                 py:eval(Other, "(hasattr(__import__('string'), 'mark'),"
                                " __import__('os').environ.get('MARK'),"
                                " 'made_up' in __import__('sys').modules)")),
    ?assertEqual(false, os:getenv("MARK")),
    ok = py_context:stop(Other).
