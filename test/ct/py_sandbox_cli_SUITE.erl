%% SPDX-License-Identifier: Apache-2.0
%% @doc `terrarium run': what it prints, and the status with which it ends.
-module(py_sandbox_cli_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [statuses, output, own_words, scripts, lost_output, signals, terminal, usage, numbers,
     results, in_a_release].

script(Config, Code) ->
    File = filename:join(proplists:get_value(priv_dir, Config), "script.py"),
    ok = file:write_file(File, unicode:characters_to_binary(Code)),
    File.

directory(Config, Name) ->
    Dir = filename:join([proplists:get_value(priv_dir, Config), ?MODULE_STRING, Name]),
    ok = filelib:ensure_path(Dir),
    Dir.

%% Its output and its status.  The VM that we are must not be told of.
terrarium(Args) ->
    terrarium(code:priv_dir(terrarium), Args).

terrarium(Priv, Args) ->
    collect(open_run(Priv, Args), <<>>).

open_run(Priv, Args) ->
    open_program(filename:join(Priv, "terrarium"), ["run" | Args]).

open_program(Program, Args) ->
    open_port({spawn_executable, Program},
              [{args, Args}, {env, [{"TERRARIUM_RUNTIMES", false}]},
               stderr_to_stdout, exit_status, binary]).

collect(Port, Acc) ->
    receive
        {Port, {data, Bytes}} -> collect(Port, <<Acc/binary, Bytes/binary>>);
        {Port, {exit_status, Status}} -> {Status, Acc}
    after 60000 -> ct:fail({no_end, Acc})
    end.

run(Config, Code, Options) ->
    terrarium(Options ++ [script(Config, Code)]).

statuses(Config) ->
    [?assertMatch({Status, _}, {element(1, run(Config, Code, Options)), Code})
     || {Status, Code, Options} <-
            [{0, "x = 1", []}, {0, "print(open)\nopen", ["--policy", "strict"]},
             {1, "1/0", []}, {3, "import sys\nsys.exit(3)", []},
             {0, "import sys\nsys.exit()", []}, {7, "import os\nos._exit(7)", []},
             {124, "while True: pass", ["--timeout", "300ms"]},
             {137, "bytearray(1 << 29)", ["--memory=256M"]},
             {125, "while True: print('x' * 1000)", []},
             {126, "import ctypes\nctypes.CDLL(None).syscall(101, 0, 0, 0, 0)", []},
             {139, "import ctypes\nctypes.string_at(0)", []},
             {1, "open('/etc/passwd')", []},
             {0, "open('/etc/passwd')", ["--policy", "trusted"]}]].

output(Config) ->
    {0, Out} = run(Config, "import sys\nprint('späm')\nprint('err', file=sys.stderr)", []),
    ?assert(binary:match(Out, <<"späm\n"/utf8>>) =/= nomatch),
    ?assert(binary:match(Out, <<"err\n">>) =/= nomatch),
    {1, <<"that's wrong\n">>} = run(Config, "import sys\nsys.exit(\"that's wrong\")", []),
    {1, Error} = run(Config, "print('before')\ndef deep(): 1/0\ndeep()", []),
    [?assert(binary:match(Error, Part) =/= nomatch)
     || Part <- [<<"before">>, <<"in deep">>, <<"ZeroDivisionError">>]],
    {124, Late} = run(Config, "while True: pass", ["--timeout", "300ms"]),
    ?assert(binary:match(Late, <<"wall_ms">>) =/= nomatch orelse
            binary:match(Late, <<"cpu_ms">>) =/= nomatch).

%% What Python itself would say of an end, it says here too, and no more.
own_words(Config) ->
    [?assertEqual({Status, unicode:characters_to_binary(Said)}, run(Config, Code, []))
     || {Status, Said, Code} <-
            [{1, "stöp\n", "import sys\nsys.exit('stöp')"},
             {1, "\\x{1B}[0m\n", "raise SystemExit('\\x1b[0m')"},
             {0, "", "raise SystemExit(False)"},
             {7, "out\n", "import os\nprint('out', flush=True)\nos._exit(7)"},
             {0, "", "import os\nos._exit(0)"},
             {143, "terrarium: died: #{signal => sigterm}\n",
              "import os\nos.kill(os.getpid(), 15)"}]],
    {1, Error} = run(Config, "raise ValueError('späm €')", []),
    ?assertNotEqual(nomatch, binary:match(Error, <<"ValueError: späm €"/utf8>>)).

%% A script may have any name, begin with a mark, and come from a pipe.
scripts(Config) ->
    Dir = directory(Config, "scripts"),
    Name = unicode:characters_to_binary([Dir, "/caf"]),
    Latin = <<Name/binary, 233, ".py">>,
    ok = file:write_file(Latin, <<16#ef, 16#bb, 16#bf, "print('here')\r\n">>),
    ?assertEqual({0, <<"here\n">>}, terrarium([Latin])),
    ?assertEqual({66, <<"terrarium: ", (unicode:characters_to_binary(Dir))/binary,
                        "/caf", "é: no such file or directory\n"/utf8>>},
                 terrarium([<<Name/binary, 233>>])),
    ?assertEqual({0, <<"here\n">>}, shell("cat \"$0\" | \"$1\" run -", [Latin])),
    Erlang = filename:join(Dir, ".erlang"), % for shells, and no part of it
    ok = file:write_file(Erlang, "io:put_chars(\"not here\")."),
    ?assertEqual({0, <<"here\n">>}, shell("HOME=\"$2\" \"$1\" run \"$0\"", [Latin, Dir])),
    ok = file:delete(Erlang),
    ok = file:delete(Latin),
    ok = file:del_dir(Dir).

%% With the program as $1, between the first of these arguments and the others.
shell(Command, [First | Rest]) ->
    Program = filename:join(code:priv_dir(terrarium), "terrarium"),
    collect(open_program("/bin/sh", ["-c", Command, First, Program | Rest]), <<>>).

%% Nobody takes it for a run that went well, and nothing is left where it was started.
lost_output(Config) ->
    Dir = directory(Config, "lost"),
    Script = script(Config, "print('x' * 300000)"),
    Lost = "terrarium: the output can not be written\n",
    ?assertEqual({74, list_to_binary(Lost)},
                 shell("cd \"$2\" && \"$1\" run \"$0\" >/dev/full", [Script, Dir])),
    ?assertEqual({0, list_to_binary(Lost ++ "74\n")},
                 shell("cd \"$2\" && { \"$1\" run \"$0\"; echo $? >&2; } | :", [Script, Dir])),
    ?assertEqual({1, <<>>}, shell("\"$1\" run \"$0\" 2>/dev/full", [script(Config, "1/0")])),
    ?assertEqual({ok, []}, file:list_dir(Dir)),
    ok = file:del_dir(Dir).

%% It ends by them as any program does, and its Python with it.  Who started these tests
%% in the background has them ignore SIGINT, and what they start.
signals(Config) ->
    Dir = directory(Config, "signals"),
    [?assertEqual({Signal, 128 + Number}, {Signal, ended_by(Signal, Config, Dir)})
     || {Signal, Number} <- [{"INT", 2}, {"TERM", 15}, {"HUP", 1}]],
    ok = file:del_dir_r(Dir).

ended_by(Signal, Config, Dir) ->
    Sign = filename:join(Dir, Signal),
    Script = script(Config, io_lib:format("import os\n"
                                          "open('~ts', 'w').write(str(os.getpid()))\n"
                                          "os.rename('~ts', '~ts.pid')\n"
                                          "while True: pass", [Sign, Sign, Sign])),
    Program = filename:join(code:priv_dir(terrarium), "terrarium"),
    Port = open_program("/usr/bin/env", ["--default-signal=INT", Program, "run",
                                         "--policy", "trusted", Script]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    ok = py_ct:eventually(fun() -> filelib:is_file(Sign ++ ".pid") end),
    {ok, Helper} = file:read_file(Sign ++ ".pid"),
    [] = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(Pid)),
    {Status, _} = collect(Port, <<>>),
    ok = py_ct:eventually(fun() -> not filelib:is_dir(<<"/proc/", Helper/binary>>) end),
    Status.

%% What a script prints is passed on as it is, unless it would command a terminal.
terminal(Config) ->
    Code = "print('\\x1b[31mred\\x07')\nraise ValueError('\\x1b]0;title\\x07')",
    {1, Piped} = run(Config, Code, []),
    ?assertNotEqual(nomatch, binary:match(Piped, <<"\e[31mred\^g">>)),
    ?assertEqual(nomatch, binary:match(Piped, <<"\e]0;">>)),
    ok = py_ct:start([{contexts, 1}]),
    ok = py:exec("import os, pty, subprocess\n"
                 "def at_a_terminal(*args):\n"
                 "    ours, theirs = pty.openpty()\n"
                 "    p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=theirs,\n"
                 "                         stderr=theirs, env=dict(os.environ))\n"
                 "    os.close(theirs)\n"
                 "    said = b''\n"
                 "    try:\n"
                 "        while more := os.read(ours, 4096): said += more\n"
                 "    except OSError: pass\n"
                 "    os.close(ours)\n"
                 "    return (p.wait(), said.decode('latin-1'))"),
    ok = py:exec("os.environ.pop('TERRARIUM_RUNTIMES', None)"),
    Program = filename:join(code:priv_dir(terrarium), "terrarium"),
    Args = [unicode:characters_to_binary(A) || A <- [Program, "run", script(Config, Code)]],
    {ok, {1, Shown}} = py:call('__main__', at_a_terminal, Args),
    ok = py_ct:stop(),
    ?assertEqual(nomatch, binary:match(Shown, <<"\e">>)),
    [?assertNotEqual({nomatch, Part}, {binary:match(Shown, Part), Part})
     || Part <- [<<"\\x{1B}[31mred\\x{7}">>, <<"\\x{1B}]0;title">>, <<"Traceback">>]].

usage(Config) ->
    File = script(Config, "1"),
    [?assertMatch({64, _}, terrarium(Args))
     || Args <- [[], [File, File], ["--moat", File], ["--policy", "paranoid", File],
                 ["--timeout", "soon", File], ["--memory", "-1", File]]],
    Latin = filename:join(proplists:get_value(priv_dir, Config), "latin1.py"),
    ok = file:write_file(Latin, <<"'", 228, "'">>),
    ?assertMatch({66, _}, terrarium([Latin])),
    {66, Missing} = terrarium([filename:join(proplists:get_value(priv_dir, Config), "none.py")]),
    ?assert(binary:match(Missing, <<"none.py">>) =/= nomatch),
    {0, Help} = terrarium(["--help"]),
    ?assert(binary:match(Help, <<"Exit status">>) =/= nomatch).

numbers(_) ->
    [?assertEqual(Expected, py_sandbox_cli:time(Text))
     || {Expected, Text} <- [{{ok, 5000}, "5s"}, {{ok, 5000}, "5"}, {{ok, 500}, "500ms"},
                             {{ok, 120000}, "2m"}, {error, ""}, {error, "s"}, {error, "0s"},
                             {error, "-1s"}, {error, "5h"}, {error, "5 s"}]],
    [?assertEqual(Expected, py_sandbox_cli:bytes(Text))
     || {Expected, Text} <- [{{ok, 256 bsl 20}, "256M"}, {{ok, 1 bsl 30}, "1G"}, {{ok, 7}, "7"},
                             {{ok, 2048}, "2K"}, {error, "M"}, {error, "1T"}, {error, "0"}]].

results(_) ->
    [?assertEqual(Status, py_sandbox_cli:status(Result))
     || {Status, Result} <- [{0, {ok, #{}}}, {1, {error, {"SystemExit", "stop it"}}},
                             {2, {error, {"SystemExit", "258"}}},
                             {69, {error, {sandbox, {unavailable, [landlock]}}}},
                             {1, {error, {"SystemExit", "True"}}},
                             {134, {error, {crashed, #{signal => sigabrt}}}},
                             {143, {error, {crashed, #{signal => sigterm}}}},
                             {192, {error, {crashed, #{signal => 64}}}},
                             {70, {error, {runtime_failed, default, x}}}]].

%% Beams and programs are beside each other there, and the directory has a version.
in_a_release(Config) ->
    Root = filename:join([proplists:get_value(priv_dir, Config), ?MODULE_STRING, "release"]),
    Lib = filename:join([Root, "lib", "terrarium-1.0"]),
    ok = filelib:ensure_path(Lib),
    [] = os:cmd(lists:join(" ", ["cp", "-rL", code:priv_dir(terrarium),
                                 filename:join(code:lib_dir(terrarium), "ebin"), Lib])),
    ?assertMatch({0, <<"here\n">>},
                 terrarium(filename:join(Lib, "priv"), [script(Config, "print('here')")])),
    ok = file:del_dir_r(Root).
