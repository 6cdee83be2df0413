%% SPDX-License-Identifier: Apache-2.0
%% @doc What Python prints outside of requests, and what anybody writes to its
%% descriptors, reaches logger, whole, tagged and bounded, and never the protocol.
-module(py_output_SUITE).
-compile([export_all, nowarn_export_all]).
-export([log/2]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [stdout_and_stderr, c_level_output, unfinished_line, long_line, no_utf8, children,
     much_output, a_flood_does_not_hurt, switched_off, lines].

init_per_suite(Config) ->
    ok = py_ct:start([{start_contexts, false}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{level => notice, config => #{to => self()}}),
    {ok, C} = py_context:new(#{name => "tagged"}),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    ok = py_context:stop(proplists:get_value(context, Config)),
    ok = logger:remove_handler(?MODULE).

%% The handler: pass on what has a stream.
log(#{level := Level, msg := Msg, meta := #{stream := Stream} = Meta}, #{config := #{to := To}}) ->
    To ! {line, Stream, Level, text(Msg), Meta},
    ok;
log(_, _) ->
    ok.

text({Format, Args}) when is_list(Format) ->
    unicode:characters_to_binary(io_lib:format(Format, Args)).

next() ->
    receive
        {line, Stream, Level, Text, Meta} -> {Stream, Level, Text, Meta}
    after 10000 -> ct:fail(no_line)
    end.

silence() ->
    receive
        {line, _, _, Text, _} -> ct:fail({unexpected, Text})
    after 200 -> ok
    end.

%% In a thread of its own, which ends.
in_thread(C, Code) ->
    py:exec(C, ["import threading, os, sys\n"
                "def work():\n  ", Code, "\n"
                "t = threading.Thread(target=work)\nt.start()\nt.join()\n"]).

ends(Text, Suffix) ->
    ?assert(string:find(Text, Suffix, trailing) =:= unicode:characters_to_binary(Suffix)).

stdout_and_stderr(Config) ->
    C = proplists:get_value(context, Config),
    ok = in_thread(C, "print('héllo'); print('oops', file=sys.stderr)"),
    Os = py_ct:helper_pid(C),
    Both = lists:sort([next(), next()]),
    [{stderr, warning, Err, _}, {stdout, notice, Out, #{os_pid := Os, context := _}}] = Both,
    ends(Out, "héllo"),
    ends(Err, "oops"),
    ?assert(string:find(Out, "tagged") =/= nomatch).

c_level_output(Config) ->
    C = proplists:get_value(context, Config),
    ok = py:exec(C, "import ctypes\nlibc = ctypes.CDLL(None)\n"
                    "libc.printf(b'from C\\n')\nlibc.fflush(None)\n"
                    "import os\nos.write(1, b'raw\\n')"),
    {stdout, _, A, _} = next(),
    {stdout, _, B, _} = next(),
    ends(A, "from C"),
    ends(B, "raw").

unfinished_line(Config) ->
    C = proplists:get_value(context, Config),
    ok = in_thread(C, "print('a', end='', flush=True)"),
    silence(),
    ok = in_thread(C, "print('b')"),
    {stdout, _, Text, _} = next(),
    ends(Text, "ab"),
    {error, {crashed, _}} = py:exec(C, "import os\nos.write(1, b'last words')\nos._exit(1)"),
    {stdout, _, Last, _} = next(),
    ends(Last, "last words"),
    ok = py:exec(C, "import atexit\natexit.register(lambda: print('good', 'bye', end=''))"),
    ok = py_context:stop(C),
    {stdout, _, Bye, _} = next(),
    ends(Bye, "good bye").

long_line(Config) ->
    C = proplists:get_value(context, Config),
    ok = in_thread(C, "print('x' * 20000)"),
    Pieces = [element(3, next()) || _ <- [1, 2, 3]],
    X = fun(T) -> length([1 || <<"x">> <= T]) end,
    ?assertEqual(20000, lists:sum([X(P) || P <- Pieces])).

no_utf8(Config) ->
    C = proplists:get_value(context, Config),
    ok = py:exec(C, "import os\nos.write(1, b'\\xff\\xfe\\n')"),
    {stdout, _, Text, _} = next(),
    ends(Text, [255, 254]).

children(Config) ->
    C = proplists:get_value(context, Config),
    ok = py:exec(C, "import subprocess\nsubprocess.run(['echo', 'from a child'])"),
    {stdout, _, Text, _} = next(),
    ends(Text, "from a child").

much_output(Config) ->
    C = proplists:get_value(context, Config),
    N = 3000,
    ok = in_thread(C, "for i in range(3000): print(i, 'y' * 80)"),
    [begin
         {stdout, _, Text, _} = next(),
         ?assert(string:find(Text, [" ", integer_to_list(I), " yyy"]) =/= nomatch)
     end || I <- lists:seq(0, N - 1)].

%% Megabytes of output while requests go on; memory stays bounded.
a_flood_does_not_hurt(_) ->
    ok = logger:remove_handler(?MODULE),
    {ok, C} = py_context:new(#{log_output => false}),
    ok = py:exec(C, "import threading, os\n"
                    "def flood():\n    for _ in range(2000): os.write(1, b'z' * 8192)\n"
                    "t = threading.Thread(target=flood)\nt.start()"),
    [{ok, I} = py:eval(C, "x", #{x => I}) || I <- lists:seq(1, 200)],
    ok = py:exec(C, "t.join()"),
    {memory, Memory} = process_info(C, memory),
    ?assert(Memory < 20000000),
    ok = py_context:stop(C),
    ok = logger:add_handler(?MODULE, ?MODULE, #{level => notice, config => #{to => self()}}).

switched_off(_) ->
    {ok, C} = py_context:new(#{log_output => false}),
    ok = in_thread(C, "print('nobody hears this')"),
    silence(),
    ok = py_context:stop(C).

%% The assembler alone.
lines(_) ->
    O0 = py_output:new(),
    {[], O1} = py_output:add(stdout, <<"ab">>, O0),
    {[<<"abc">>, <<>>, <<"d">>], O2} = py_output:add(stdout, <<"c\n\nd\r\ne">>, O1),
    {[<<"err">>], O3} = py_output:add(stderr, <<"err\n">>, O2),
    ?assertEqual([{stdout, <<"e">>}], py_output:flush(O3)).
