%% SPDX-License-Identifier: Apache-2.0
%% @doc `py_sandbox:run': results, files, limits, and that nothing of a run is there
%% in the next.
-module(py_sandbox_run_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [values, printed, inputs, files, files_are_capped, files_that_nobody_wants,
     limits, violations, deaths, tracebacks,
     reports, nothing_stays, wrong_options, hidden_environment,
     environment_of_others, numpy, from_spares, caller_dies,
     nothing_is_left].

init_per_suite(Config) ->
    %% Not the default one, which the launcher may have started with its own.
    Hiding = #{env => #{"TERRARIUM_TEST_SECRET" => "hidden-in-the-environment"}},
    ok = py_ct:start([{contexts, 1}, {runtimes, #{default => #{}, hiding => Hiding}}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) -> Config.

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    ?assertEqual({ok, 2}, py:eval("1 + 1")).

values(_) ->
    [?assertMatch({ok, #{value := Value, stdout := <<>>, stderr := <<>>, files := #{}}},
                  py_sandbox:run(Code, #{policy => Level}))
     || Level <- [default, strict],
        {Value, Code} <- [{4, "2 + 2"}, {6, "x = 3\nx * 2"}, {none, "x = 3"}, {none, ""},
                          {120, "def f(n): return 1 if n == 0 else n * f(n - 1)\nf(5)"},
                          {[1, 4], "[i * i for i in (1, 2)]"}]],
    {ok, #{usage := Usage}} = py_sandbox:run("1"),
    ?assertMatch(#{wall_ms := _, rss := _, user_ms := _, system_ms := _}, Usage).

printed(_) ->
    {ok, #{stdout := Out, stderr := Err, value := 7}} =
        py_sandbox:run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n7"),
    ?assertEqual({<<"out\n">>, <<"err\n">>}, {Out, Err}).

inputs(_) ->
    ?assertMatch({ok, #{value := 42}}, py_sandbox:run("x * y", #{inputs => #{x => 6, "y" => 7}})).

tmp() ->
    #{level => default, allow => [{tmp, 1 bsl 20}]}.

with_tmp() ->
    {ok, #{default := Layers}} = py:sandbox_info(),
    lists:member(namespaces, Layers).

files(_) ->
    with_tmp() orelse throw({skip, no_namespaces}),
    Code = "import os\nopen('out', 'wb').write(open('a/in', 'rb').read() * 2)\n"
           "sorted(os.listdir())",
    {ok, #{value := [<<"a">>, <<"out">>], files := Files}} =
        py_sandbox:run(Code, #{policy => tmp(), files => #{"a/in" => <<1, 255>>},
                               outputs => ["out", "not_there"]}),
    ?assertEqual(#{<<"out">> => <<1, 255, 1, 255>>}, Files),
    ?assertMatch({error, {_, _}}, py_sandbox:run("1", #{files => #{"x" => <<>>}})).

files_are_capped(_) ->
    with_tmp() orelse throw({skip, no_namespaces}),
    ?assertMatch({error, {"OverflowError", _}},
                 py_sandbox:run("open('out', 'wb').write(bytes(2000))",
                                #{policy => tmp(), outputs => ["out"], outputs_max => 1000})).

%% The code may have changed what takes them.
files_that_nobody_wants(_) ->
    with_tmp() orelse throw({skip, no_namespaces}),
    Taking = fun(Files) ->
                     ["import erlang._sandboxed\n"
                      "erlang._sandboxed._collect = lambda *a: ", Files]
             end,
    Run = fun(Files) -> py_sandbox:run(Taking(Files), #{policy => tmp(), outputs => ["out"],
                                                        outputs_max => 10}) end,
    ?assertMatch({ok, #{files := #{<<"out">> := <<"true">>}}}, Run("{'out': b'true'}")),
    [?assertEqual({error, {protocol, <<"files that nobody asked for">>}}, Run(Files))
     || Files <- ["{'../../out': b'1'}", "{'out': b'1', 'other': b'2'}", "{'out': b'x' * 11}",
                  "{'out': 1}", "{1: b'1'}"]].

with_limits(Limits) ->
    #{policy => #{level => default, limits => Limits}}.

limits(_) ->
    Loop = "while True: pass",
    ?assertEqual({error, {limit, wall_ms}}, py_sandbox:run(Loop, with_limits(#{wall_ms => 200}))),
    ?assertEqual({error, {limit, wall_ms}},
                 py_sandbox:run("while True:\n    try:\n        while True: pass\n"
                                "    except BaseException: pass",
                                with_limits(#{wall_ms => 200, grace_ms => 100}))),
    ?assertEqual({error, {limit, cpu_ms}}, py_sandbox:run(Loop, with_limits(#{cpu_ms => 200}))),
    ?assertEqual({error, {limit, memory}}, py_sandbox:run("x = bytearray(1 << 30)")),
    [?assertEqual({error, {limit, output_bytes}},
                  py_sandbox:run(Flood, with_limits(#{output_bytes => 10000})))
     || Flood <- ["while True: print('x' * 100)",
                  "import sys\nwhile True: print('x' * 100, file=sys.stderr)",
                  "import os\nwhile True: os.write(1, b'x' * 100)"]].

violations(_) ->
    Code = "import ctypes\nctypes.CDLL(None).syscall(101, 0, 0, 0, 0)",
    ?assertEqual({error, {sandbox, {syscall, <<"ptrace">>}}}, py_sandbox:run(Code)),
    ?assertEqual({error, {sandbox, {syscall, unknown}}},
                 py_sandbox:run(Code, #{policy => #{level => default, diagnose => false}})),
    ?assertMatch({error, {"PermissionError", _}}, py_sandbox:run("import os\nos.fork()")),
    ?assertEqual({error, {sandbox, {unavailable, [landlock]}}},
                 py_sandbox:run("1", #{policy => #{level => default, without => [landlock],
                                                   require => [landlock]}})).

deaths(_) ->
    ?assertMatch({error, {crashed, #{exit_status := 3}}}, py_sandbox:run("import os\nos._exit(3)")),
    ?assertMatch({error, {crashed, #{signal := sigsegv}}},
                 py_sandbox:run("import ctypes\nctypes.string_at(0)")),
    ?assertMatch({error, {"SystemExit", _}}, py_sandbox:run("import sys\nsys.exit(3)")),
    ?assertMatch({error, {"SyntaxError", _}}, py_sandbox:run("def")),
    ?assertMatch({error, {"EncodeError", _}}, py_sandbox:run("open")).

%% They begin with the user's own code, and tell no place of this library.
tracebacks(_) ->
    Place = unicode:characters_to_binary(code:priv_dir(terrarium)),
    [begin
         {error, _} = py_sandbox:run(Code, Options),
         #{traceback := Text, frames := Frames} = Last = py:last_error(),
         ?assert(Files =:= any orelse Files =:= [File || #{file := File} <- Frames]),
         Said = iolist_to_binary(io_lib:format("~0tp ~ts ~ts",
                                               [Last, Text, maps:get(stack, Last, <<>>)])),
         [?assertEqual({nomatch, Code}, {binary:match(Said, Part), Code})
          || Part <- [<<"_sandboxed">>, Place]]
     end || {Files, Code, Options} <-
                [{[<<"<sandbox>">>, <<"<sandbox>">>], "def f(): 1/0\nf()", #{}},
                 {[<<"<sandbox>">>, <<"<sandbox>">>], "def f(): 1/0\nf()",
                  #{policy => strict}},
                 {[], "def", #{}},
                 {[<<"<sandbox>">>], "try: 1/0\nexcept Exception as e: raise ValueError() from e",
                  #{}},
                 {[<<"<sandbox>">>, <<"erlang/_call.py">>], "import erlang\nerlang.call('x')", #{}},
                 {any, "1", #{files => #{"/no/such/place/x" => <<>>}}},
                 {[<<"<sandbox>">>], "while True: pass", with_limits(#{wall_ms => 200})}]].

%% The same of those that died.
reports(_) ->
    Place = unicode:characters_to_binary(code:priv_dir(terrarium)),
    [begin
         {error, {crashed, #{traceback := Text, stderr := Err}}} = py_sandbox:run(Code),
         Said = <<Text/binary, Err/binary>>,
         ?assertNotEqual(nomatch, binary:match(Text, <<"<sandbox>">>)),
         [?assertEqual({nomatch, Code}, {binary:match(Said, Part), Code})
          || Part <- [<<"_sandboxed">>, Place]]
     end || Code <- ["import ctypes\nctypes.string_at(0)", "import os\nos.abort()"]].

nothing_stays(_) ->
    {ok, _} = py_sandbox:run("import builtins, sys\nbuiltins.left = 1\nsys.left = 1"),
    ?assertMatch({error, {"NameError", _}}, py_sandbox:run("left")),
    {ok, #{value := A}} = py_sandbox:run("import random\nrandom.random()"),
    {ok, #{value := B}} = py_sandbox:run("import random\nrandom.random()"),
    ?assertNotEqual(A, B).

wrong_options(_) ->
    [?assertEqual({error, {invalid, Key, Value}}, py_sandbox:run("1", #{Key => Value}))
     || {Key, Value} <- [{moat, 1}, {inputs, 1}, {files, 1}, {files, #{"x" => 5}}, {outputs, [5]},
                         {outputs_max, 0}, {spares, -1}, {policy, 5}, {runtime, 5}]
            -- [{spares, -1}]],
    ?assertEqual({error, {invalid, spares, -1}}, py_sandbox:run("1", #{spares => -1})),
    ?assertEqual({error, {invalid, code, <<"'\xe9'">>}}, py_sandbox:run(<<"'\xe9'">>)),
    ?assertEqual({error, {invalid, memory, 0}}, py_sandbox:run("1", with_limits(#{memory => 0}))),
    ?assertEqual({error, {invalid, code, 5}}, py_sandbox:run(5)),
    ?assertEqual({error, {invalid, options, x}}, py_sandbox:run("1", x)).

%% Where the kernel put the environment nothing is left of it: the zygote is the same,
%% so a trusted context knows the place.
hidden_environment(_) ->
    {ok, C} = py_context:new(#{runtime => hiding}),
    Place = "[int(x) for x in open('/proc/self/stat').read().rsplit(')', 1)[1].split()[47:49]]",
    {ok, [Start, End]} = py_context:eval(C, Place),
    Look = "import ctypes\nb'hidden-in-the' in ctypes.string_at(start, end - start)",
    Inputs = #{start => Start, 'end' => End},
    ok = py_context:exec(C, "import ctypes"),
    ?assertEqual({ok, true},
                 py_context:eval(C, "b'hidden-in-the' in ctypes.string_at(start, end - start)",
                                 Inputs)),
    ?assertMatch({ok, #{value := false}},
                 py_sandbox:run(Look, #{inputs => Inputs, runtime => hiding})),
    ?assertMatch({ok, #{value := none}},
                 py_sandbox:run("import os\nos.environ.get('TERRARIUM_TEST_SECRET')",
                                #{runtime => hiding})),
    ok = py_context:stop(C).

%% What another context was given passes through the process that all are forked from.
%% A context that was given it finds it by the same search: of the heap, and of what
%% lies around the C library.
environment_of_others(_) ->
    Search = "import ctypes, os, re\n"
             "libc = ctypes.CDLL(None)\n"
             "libc.sbrk.restype = ctypes.c_void_p\n"
             "libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]\n"
             "libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]\n"
             "there = ctypes.create_string_buffer(1)\n"
             "r, w = os.pipe()\n"
             "def page(at):\n"
             "    if libc.mincore(at, 4096, ctypes.addressof(there)) != 0: return None\n"
             "    n = libc.write(w, at, 4096)\n"
             "    return os.read(r, n) if n > 0 else b''\n"
             "def pages():\n"
             "    at = (libc.sbrk(ctypes.c_long(0)) & ~4095) - 4096\n"
             "    while (p := page(at)) is not None:\n"
             "        yield p\n"
             "        at -= 4096\n"
             "    at = ctypes.cast(libc.malloc, ctypes.c_void_p).value & ~4095\n"
             "    for near in range(at - (64 << 20), at + (16 << 20), 4096):\n"
             "        yield page(near) or b''\n"
             "def found(): return any(re.search(rb'anothers-key-[0-9]{9}', p) for p in pages())\n",
    Env = #{"KEY" => "anothers-key-" ++ integer_to_list(100000000 + rand:uniform(800000000))},
    {ok, C} = py_context:new(#{env => Env}),
    ok = py_context:exec(C, Search),
    ?assertEqual({ok, true}, py_context:eval(C, "found()")),
    Policy = #{level => default, limits => #{wall_ms => 30000}},
    [?assertMatch({ok, #{value := false}},
                  py_sandbox:run([Search, "found()"], #{policy => Policy, spares => Spares}))
     || Spares <- [0, 1, 1]],
    ok = py_context:stop(C).

numpy(_) ->
    case py:exec("import numpy") of
        ok -> with_numpy();
        {error, _} -> {skip, no_numpy}
    end.

with_numpy() ->
    Code = "import numpy\n"
           "m = numpy.arange(9.0).reshape(3, 3) + 4 * numpy.eye(3)\n"
           "[round(float(numpy.linalg.det(m)), 6), numpy.linalg.svd(m)[1].shape,\n"
           " bool(abs(numpy.fft.ifft(numpy.fft.fft(m))[1, 1].real - m[1, 1]) < 1e-9),\n"
           " float((m @ numpy.linalg.inv(m))[0, 0].round(9))]",
    Expected = [184.0, {3}, true, 1.0],
    ?assertMatch({ok, #{value := Expected}}, py_sandbox:run(Code)),
    ?assertMatch({ok, #{value := Expected}},
                 py_sandbox:run(Code, #{policy => #{level => strict, preload => [numpy],
                                                    limits => #{wall_ms => 10000}}})).

%% The first one makes the kind; those after it find spares.
from_spares(_) ->
    Policy = #{level => default, limits => #{wall_ms => 5001}},
    [?assertMatch({ok, #{value := N}},
                  py_sandbox:run(integer_to_list(N), #{policy => Policy, spares => 4}))
     || N <- lists:seq(1, 40)],
    Answers = py_ct:parallel(8, fun(N) ->
                                        py_sandbox:run(integer_to_list(N),
                                                       #{policy => Policy, spares => 4})
                                end),
    ?assertEqual(8, length([ok || {ok, #{value := V}} <- Answers, is_integer(V)])).

caller_dies(_) ->
    {Pid, Mon} = spawn_monitor(fun() ->
                                       py_sandbox:run("import time\ntime.sleep(100)",
                                                      with_limits(#{wall_ms => 60000}))
                               end),
    Contexts = fun() -> length(py_registry:contexts()) end,
    Before = Contexts(),
    py_ct:eventually(fun() -> Contexts() > Before orelse Contexts() end),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, killed} -> ok end,
    py_ct:eventually(fun() -> Contexts() =< Before end).

nothing_is_left(_) ->
    {ok, _} = py_sandbox:run("1"),
    Before = py_ct:census(),
    _ = [py_sandbox:run(Code) || _ <- lists:seq(1, 10),
                                 Code <- ["1", "1/0", "import os\nos.abort()"]],
    ok = py_ct:settled(Before).
