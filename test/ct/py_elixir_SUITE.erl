%% SPDX-License-Identifier: Apache-2.0
%% @doc Elixir calls the same modules.  Skipped where there is no Elixir.
-module(py_elixir_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() -> [calls, errors].

init_per_suite(Config) ->
    case os:find_executable("elixir") of
        false -> {skip, "elixir is not installed"};
        Elixir -> [{elixir, Elixir} | Config]
    end.

end_per_suite(_) ->
    ok.

%% What the script prints, line by line.
run(Config, Script) ->
    File = filename:join(proplists:get_value(priv_dir, Config), "script.exs"),
    ok = file:write_file(File, ["{:ok, _} = Application.ensure_all_started(:terrarium)\n", Script]),
    Ebin = filename:dirname(code:which(py)),
    Port = open_port({spawn_executable, proplists:get_value(elixir, Config)},
                     [{args, ["-pa", Ebin, File]}, exit_status, stderr_to_stdout, binary,
                      {env, [{V, false} || V <- ["ERL_LIBS", "ERL_FLAGS",
                                                   "TERRARIUM_RUNTIMES"]]}]),
    {0, Output} = collect(Port, <<>>),
    [L || L <- binary:split(Output, <<"\n">>, [global]), L =/= <<>>].

collect(Port, Acc) ->
    receive
        {Port, {data, Data}} -> collect(Port, <<Acc/binary, Data/binary>>);
        {Port, {exit_status, 0}} -> {0, Acc};
        {Port, {exit_status, N}} -> {N, Acc}
    after 120000 -> ct:fail({no_end, Acc})
    end.

calls(Config) ->
    Lines = run(Config, "IO.inspect(:py.call(:math, :sqrt, [16]))\n"
                        "IO.inspect(:py.eval(\"a + b\", %{a: 1, b: 2}))\n"
                        "IO.inspect(:py.call(:json, :dumps, [%{\"a\" => [1, nil, true]}]))\n"
                        "IO.inspect(:py.exec(\"x = 1\"))\n"),
    ?assertEqual([<<"{:ok, 4.0}">>, <<"{:ok, 3}">>,
                  <<"{:ok, \"{\\\"a\\\": [1, null, true]}\"}">>, <<":ok">>], Lines).

errors(Config) ->
    Lines = run(Config, "{:error, {type, message}} = :py.eval(\"1 / 0\")\n"
                        "IO.puts(type)\nIO.puts(message)\n"
                        "IO.puts(:py.last_error().type)\n"
                        "{:error, {:crashed, report}} = :py.exec(\"import os; os.abort()\")\n"
                        "IO.inspect(report.signal)\n"),
    ?assertEqual([<<"ZeroDivisionError">>, <<"division by zero">>, <<"ZeroDivisionError">>,
                  <<":sigabrt">>], [L || L <- Lines, not is_log(L)]).

%% Elixir's logger prints the death of the helper between the lines.
is_log(Line) ->
    re:run(Line, "^(\\s|$)|\\[|Python context|Fatal|Current thread|File|Extension",
           [{capture, none}]) =:= match.
